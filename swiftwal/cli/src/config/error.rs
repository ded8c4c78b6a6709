//! The errors of the configuration.

use std::{borrow::Cow, io, path::PathBuf};

use swiftwal_compression::ParseCodecError;
use thiserror::Error;

use crate::{message::Hinted, values::ParseDurationError};

/// The reason why the configuration can't be used. No message contains a value that may be a secret.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error("no repository is configured")]
    NoRepository,
    #[error("{from} names both a repository and a container")]
    TwoPlaces { from: String },
    #[error("'{text}' is not a URL")]
    NoScheme { text: String, directory: String, container: String },
    #[error("invalid repository URL")]
    BadUrl(#[source] url::ParseError),
    #[error("the repository's URL, {scheme}://…, contains a password")]
    PasswordInUrl { scheme: String },
    #[error("the repository's URL, {scheme}://…, contains a '?' or '#', which isn't allowed there")]
    QueryInUrl { scheme: String },
    #[error("'{0}' is not a container name: it must not be empty or contain '/'")]
    BadContainer(String),
    #[error("can't read the configuration file {}", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the configuration file {} is a directory", path.display())]
    Directory { path: PathBuf },
    #[error("the configuration file {} is larger than {} KiB", path.display(), most_bytes >> 10)]
    TooLarge { path: PathBuf, most_bytes: u64 },
    #[error("{}, line {line}: {problem}", path.display())]
    InFile { path: PathBuf, line: usize, problem: String },
    #[error("can't use the compression that {from} names")]
    Compression {
        from: String,
        #[source]
        source: ParseCodecError,
    },
    #[error("the archive timeout '{text}', from {from}, is not a duration")]
    ArchiveTimeout {
        from: String,
        text: String,
        #[source]
        source: ParseDurationError,
    },
    #[error("PGPORT in the configuration file is '{text}': {problem}")]
    Port { text: String, problem: String },
    #[error("the connection string of --conninfo contains a password")]
    PasswordInConninfo,
    #[error("the value of {name} in the environment isn't UTF-8")]
    NotText { name: String },
    #[error("can't merge the configuration")]
    Merge(#[source] Box<figment::Error>),
}

impl Hinted for ConfigError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::NoRepository => {
                "give --repository URL or -C/--container NAME, set SWIFTWAL_REPOSITORY or SWIFTWAL_CONTAINER, or put \
                 'repository' or 'container' into a file and name it with --config FILE"
            }
            Self::TwoPlaces { .. } => "a container is a repository too: name one of them",
            Self::NoScheme { directory, container, .. } => {
                return Some(format!("for a directory use {directory}{container}").into());
            }
            Self::BadUrl(_) => "it must look like swift://container or file:///directory",
            Self::PasswordInUrl { .. } => {
                "URLs are shown in messages, so take it out and give it as a setting, in the environment or a \
                 configuration file"
            }
            Self::QueryInUrl { .. } => {
                "write '?' in a name as %3F and '#' as %23, and give settings in the environment or a configuration file"
            }
            Self::BadContainer(_) => "for a prefix use --repository swift://NAME/PREFIX",
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "check that the file and its directory exist",
                io::ErrorKind::PermissionDenied => {
                    "run as a user that may read it, or change its owner or mode"
                }
                _ => return None,
            },
            Self::Directory { path } => {
                let path = path.display();
                return Some(format!("name a file in it: --config {path}/swiftwal.toml").into());
            }
            Self::TooLarge { .. } => "check that it is the right file",
            Self::PasswordInConninfo => {
                "other users can see it in the list of processes: put it into ~/.pgpass or PGPASSWORD"
            }
            Self::NotText { .. } => "set it again",
            Self::InFile { .. }
            | Self::Compression { .. }
            | Self::ArchiveTimeout { .. }
            | Self::Port { .. }
            | Self::Merge(_) => return None,
        }))
    }
}
