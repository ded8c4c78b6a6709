//! Why a command ended without success.

use std::{error::Error, io, iter};

use object_store_swift::StoreError;
use swiftwal_core::OpenError;
use thiserror::Error;

use crate::{config::ConfigError, log, stop::Stop};

/// Why a command ended without success.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The arguments are wrong; clap has said in which way.
    #[error("the arguments are wrong")]
    Usage,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Flow(#[from] swiftwal_core::Error),
    /// A command that acknowledges what it stores was given a storage that ends with the process.
    #[error(
        "{0} is in this process's memory, so what is stored there is lost when it ends; name another repository, or, in a \
         test, set SWIFTWAL_ALLOW_MEMORY=1"
    )]
    Volatile(String),
    #[error("can't get from the system what a program needs to run")]
    Runtime(#[source] io::Error),
    #[error("can't write to standard output")]
    Output(#[source] io::Error),
    /// The reader of standard output has gone, as in `swiftwal list-wal | head`.
    #[error("standard output was closed")]
    ClosedStdout,
    #[error("{0}")]
    Stopped(Stop),
    /// The command printed its result, and before that a message for each problem that it found.
    #[error("{0}")]
    Found(Finding),
}

/// The worst problem that a command found in a repository and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub(crate) enum Finding {
    #[error("it couldn't be proven whether all is well")]
    Unproven,
    #[error("damage was found")]
    Damage,
}

impl Finding {
    /// The finding that `error` is for a command that goes on after it.
    pub(crate) fn of(error: &swiftwal_core::Error) -> Self {
        match error.kind() {
            swiftwal_core::ErrorKind::Damaged => Self::Damage,
            _ => Self::Unproven,
        }
    }
}

/// From writing to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedStdout,
            _ => Self::Output(error),
        }
    }
}

impl Failure {
    /// Whether the storage has proven that the WAL file which was asked for isn't there.
    pub(crate) fn is_proven_absence(&self) -> bool {
        matches!(self, Self::Flow(swiftwal_core::Error::WalAbsent { .. }))
    }

    /// Whether the same command may succeed in a while: what failed is the storage, the network or this machine, not
    /// what was asked for or what is stored.
    pub(crate) fn may_pass(&self) -> bool {
        use swiftwal_core::{Error, ErrorKind};
        match self {
            Self::Flow(Error::Open(OpenError::Unavailable { .. }) | Error::NoRepository { .. }) => true,
            Self::Flow(error) => matches!(error.kind(), ErrorKind::Failed | ErrorKind::TimedOut),
            _ => false,
        }
    }

    /// Prints the message to stderr, unless it was printed already or stdout is closed.
    pub(crate) fn report(&self) {
        if !matches!(self, Self::Usage | Self::ClosedStdout | Self::Found(_)) {
            let way_out = match self {
                Self::Flow(swiftwal_core::Error::Open(error)) => way_to_open(error),
                _ if is_missing_container(self) => {
                    "; archive-wal and backup create it, with --create if this machine has used it before"
                        .to_owned()
                }
                _ => String::new(),
            };
            log::say(format_args!("{}{way_out}", chain(self)));
        }
    }
}

/// The hint for a repository that can't be opened, as far as only the program knows it: where settings come from, and
/// which feature supports a scheme.
fn way_to_open(error: &OpenError) -> String {
    let scheme = match error {
        OpenError::Settings { location, .. } if location.starts_with("swift:") => {
            return "; a setting is taken from its option (--os-auth-url for OS_AUTH_URL), else from the environment, \
                    else from the configuration file"
                .to_owned();
        }
        OpenError::UnknownScheme { scheme, .. } => scheme,
        _ => return String::new(),
    };
    let feature = match scheme.as_str() {
        "http" | "https" => {
            return "; for Swift, the repository is swift://CONTAINER, and the address goes into a setting: that of \
                    Keystone into OS_AUTH_URL, that of TempAuth into ST_AUTH"
                .to_owned();
        }
        "s3" => "s3",
        "gs" => "gcs",
        "az" => "azure",
        _ => return String::new(),
    };
    format!("; for {scheme}:// build swiftwal with --features {feature}")
}

/// Whether it failed because the Swift container doesn't exist: only the program knows which commands create it.
fn is_missing_container(error: &dyn Error) -> bool {
    iter::successors(error.source(), |&error| error.source())
        .any(|cause| matches!(cause.downcast_ref(), Some(StoreError::MissingContainer { .. })))
}

/// `error` and what caused it on one line, `what: cause: cause; hint`.
///
/// A message ends with its hint, after its last semicolon; where a cause follows, the hint is moved behind it.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut messages =
        iter::successors(Some(error), |&error| error.source()).map(ToString::to_string).peekable();
    let (mut line, mut hints) = (String::new(), String::new());
    while let Some(message) = messages.next() {
        // Some libraries' messages end with their cause's.
        if line.ends_with(&message) {
            continue;
        }
        let (message, hint) = match message.rsplit_once("; ") {
            Some((message, hint)) if messages.peek().is_some() => (message, hint),
            _ => (message.as_str(), ""),
        };
        for (text, separator, part) in [(&mut line, ": ", message), (&mut hints, "; ", hint)] {
            if !text.is_empty() && !part.is_empty() {
                text.push_str(separator);
            }
            text.push_str(part);
        }
    }
    if hints.is_empty() { line } else { format!("{line}; {hints}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error("{0}")]
    struct Told(&'static str, #[source] Option<Box<Self>>);

    fn told(messages: &[&'static str]) -> Told {
        let cause = messages.get(1).map(|_| Box::new(told(&messages[1..])));
        Told(messages[0], cause)
    }

    #[test]
    fn the_causes_follow_each_other_and_the_hint_comes_last() {
        let error = told(&["can't use /backups; give it to postgres", "can't open it", "no access"]);
        assert_eq!(chain(&error), "can't use /backups: can't open it: no access; give it to postgres");
        let error = told(&["can't read /a; b; is its disk mounted", "no access"]);
        assert_eq!(chain(&error), "can't read /a; b: no access; is its disk mounted");
        assert_eq!(chain(&told(&["no such key; there are 2"])), "no such key; there are 2");
    }

    #[test]
    fn a_container_that_is_missing_is_found_among_the_causes() {
        let failure = |source: StoreError| {
            let (object, location) = ("the WAL files".to_owned(), "container pgprod".to_owned());
            Failure::from(swiftwal_core::Error::Storage {
                action: "list",
                object,
                location,
                source: source.into(),
            })
        };
        assert!(is_missing_container(&failure(StoreError::MissingContainer {
            container: "pgprod".to_owned()
        })));
        assert!(!is_missing_container(&failure(StoreError::NotStored { target: "pgprod/a".to_owned() })));
    }

    #[test]
    fn a_cause_that_was_told_already_is_not_told_again() {
        assert_eq!(chain(&told(&["can't read: no access", "no access"])), "can't read: no access");
    }
}
