use std::{io, path::PathBuf};

use swiftwal_compression::ParseCodecError;
use thiserror::Error;

use super::file::MOST_BYTES;
use crate::values::ParseDurationError;

/// Why the configuration can't be used. No message holds a value that could be a secret.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error(
        "no repository is configured; give --repository URL or -C/--container NAME, set SWIFTWAL_REPOSITORY or \
         SWIFTWAL_CONTAINER, or put 'repository' or 'container' into a file and name it with --config FILE"
    )]
    NoRepository,
    #[error(
        "{from} names both a repository and a container; a container is a repository too: name one of them"
    )]
    TwoPlaces { from: String },
    #[error("'{text}' is not a URL; for a directory use {directory}{container}")]
    NoScheme { text: String, directory: String, container: String },
    #[error("invalid repository URL; it must look like swift://container or file:///directory")]
    BadUrl(#[source] url::ParseError),
    #[error(
        "the URL of the repository in {scheme}:// holds a password; URLs are shown in messages, so take it out and give it \
         as a setting, in the environment or a configuration file"
    )]
    PasswordInUrl { scheme: String },
    #[error(
        "the URL of the repository in {scheme}:// contains a '?' or '#', which isn't allowed there; \
         write '?' in a name as %3F and '#' as %23, and give settings in the environment or a configuration file"
    )]
    QueryInUrl { scheme: String },
    #[error(
        "'{0}' is not a container name: it must not be empty or contain '/'; for a prefix use --repository swift://NAME/PREFIX"
    )]
    BadContainer(String),
    #[error("can't read the configuration file {}{}", path.display(), way_to_read(source))]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the configuration file {0} is a directory; name a file in it: --config {0}/swiftwal.toml", path.display())]
    Directory { path: PathBuf },
    #[error("the configuration file {} is larger than {} KiB; check that it is the right file", path.display(), MOST_BYTES >> 10)]
    TooLarge { path: PathBuf },
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
    #[error("the value of {name} in the environment isn't UTF-8; set it again")]
    NotText { name: String },
    #[error("can't merge the configuration")]
    Merge(#[source] Box<figment::Error>),
}

/// What to do about a configuration file that can't be read, where that can be told.
fn way_to_read(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; check that the file and its directory exist",
        io::ErrorKind::PermissionDenied => "; run as a user that may read it, or change its owner or mode",
        _ => "",
    }
}
