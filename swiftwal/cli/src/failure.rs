//! The failures of a command.

use std::{borrow::Cow, io};

use swiftwal_core::OpenError;
use swiftwal_postgres::Timeline;
use thiserror::Error;

use crate::{
    config::ConfigError,
    isolated_server::IsolationError,
    log,
    message::{Hinted, chain},
    nagios::State,
    stop::Stop,
};

/// The failure of a command.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The arguments are wrong; clap has printed the reason.
    #[error("the arguments are wrong")]
    Usage,
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Flow(#[from] swiftwal_core::Error),
    /// A command that stores was given a storage in this process's memory, where nothing would remain.
    #[error("{0} is in this process's memory, so what is stored there is lost when it ends")]
    Volatile(String),
    /// A standby asks for a history that is missing, although WAL of its timeline is stored.
    #[error("timeline {timeline} is in use: its WAL is stored in {location}, but its history is missing")]
    TimelineInUse { timeline: Timeline, location: String },
    /// A server can't be started on a copy here.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
    #[error("the operating system refused a resource that the program needs")]
    Runtime(#[source] io::Error),
    #[error("can't write to standard output")]
    Output(#[source] io::Error),
    /// The reader of standard output has disconnected, as in `swiftwal list-wal | head`.
    #[error("standard output was closed")]
    ClosedStdout,
    #[error("{0}")]
    Stopped(Stop),
    /// The command printed its result, and before that a message for each problem.
    #[error("{0}")]
    Found(Finding),
    /// The command printed its answer for a monitoring system.
    #[error("the state is {0}")]
    Alert(State),
    /// The command printed which checks have failed.
    #[error("a check has failed")]
    CheckFailed,
}

/// The worst problem that a command found in a repository and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub(crate) enum Finding {
    #[error("it couldn't be proven that all is well")]
    Unproven,
    #[error("damage was found")]
    Damage,
}

impl Finding {
    /// Returns the finding for `error`, in a command that continues after it.
    pub(crate) fn of(error: &swiftwal_core::Error) -> Self {
        match error.kind() {
            swiftwal_core::ErrorKind::Damaged => Self::Damage,
            _ => Self::Unproven,
        }
    }
}

/// A failure to write to standard output.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ClosedStdout,
            _ => Self::Output(error),
        }
    }
}

impl Failure {
    /// Whether the storage has proven that the requested WAL file is missing.
    pub(crate) fn is_proven_absence(&self) -> bool {
        matches!(self, Self::Flow(swiftwal_core::Error::WalAbsent { .. }))
    }

    /// Whether the same command may succeed later: the storage, the network or this machine failed, rather than the
    /// request or the stored data being wrong.
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
        if !matches!(
            self,
            Self::Usage | Self::ClosedStdout | Self::Found(_) | Self::Alert(_) | Self::CheckFailed
        ) {
            log::say(format_args!("{}", chain(self)));
        }
    }
}

impl Hinted for Failure {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Flow(error) => error.hint(),
            Self::Isolation(error) => error.hint(),
            Self::Volatile(_) => {
                Some("name another repository, or, in a test, set SWIFTWAL_ALLOW_MEMORY=1".into())
            }
            Self::TimelineInUse { timeline, .. } => Some(
                format!(
                    "don't promote this standby: it would take timeline {timeline}, too. First store {:08X}.history with \
                     archive-wal from the pg_wal of a server that has it, or remove the timeline: swiftwal timeline discard \
                     {timeline}",
                    timeline.get()
                )
                .into(),
            ),
            Self::Stopped(stop) => stop.hint().map(Cow::Borrowed),
            Self::Usage
            | Self::Runtime(_)
            | Self::Output(_)
            | Self::ClosedStdout
            | Self::Found(_)
            | Self::Alert(_)
            | Self::CheckFailed => None,
        }
    }
}
