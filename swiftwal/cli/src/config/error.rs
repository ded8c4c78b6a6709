use std::{io, path::PathBuf};

use swiftwal_compression::ParseCodecError;
use thiserror::Error;

/// Why the configuration can't be used. No message holds a value that could be a secret.
#[derive(Debug, Error)]
pub(crate) enum ConfigError {
    #[error(
        "no repository is named; name one by --repository URL or -C/--container NAME, by SWIFTWAL_REPOSITORY or \
         SWIFTWAL_CONTAINER in the environment, or by 'repository' or 'container' in a file given as --config FILE"
    )]
    NoRepository,
    #[error(
        "{from} names both a repository and a container; a container is a repository too: name one of them"
    )]
    TwoPlaces { from: String },
    #[error("'{text}' is no URL; for a directory use {directory}{container}")]
    NoScheme { text: String, directory: String, container: String },
    #[error("the repository's URL can't be read; it looks like swift://container or file:///directory")]
    BadUrl(#[source] url::ParseError),
    #[error(
        "the URL of the repository in {scheme}:// holds a password; URLs are shown in messages, so take it out and give it \
         as a setting, in the environment or a configuration file"
    )]
    PasswordInUrl { scheme: String },
    #[error(
        "the URL of the repository in {scheme}:// goes on after the path with '?' or '#', which means nothing there; \
         write '?' in a name as %3F and '#' as %23, and give settings in the environment or a configuration file"
    )]
    QueryInUrl { scheme: String },
    #[error(
        "'{0}' is not the name of a container; one isn't empty and has no '/': for a prefix use --repository swift://NAME/PREFIX"
    )]
    BadContainer(String),
    #[error("can't read the configuration file {}; it must be there, and readable for the user this runs as", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}, line {line}: {problem}", path.display())]
    InFile { path: PathBuf, line: usize, problem: String },
    #[error("can't use the compression that {from} names")]
    Compression {
        from: String,
        #[source]
        source: ParseCodecError,
    },
    #[error("the archive timeout '{text}', from {from}, is no number of seconds")]
    ArchiveTimeout { from: String, text: String },
    #[error("PGPORT in the configuration file is '{text}', which is no port number")]
    Port { text: String },
    #[error("the value of {name} in the environment is no text; it must be UTF-8")]
    NotText { name: String },
    #[error("can't put the configuration together")]
    Merge(#[source] Box<figment::Error>),
}
