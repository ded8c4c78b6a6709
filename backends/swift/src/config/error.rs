//! What is wrong with settings.

use std::path::PathBuf;

use thiserror::Error;

/// Settings that can't work; nothing was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is nothing at all to authenticate with.
    #[error("no credentials are set")]
    NoCredentials,
    /// Settings that this way of authentication needs and that are nowhere.
    #[error("to authenticate with {method}, these settings are missing: {}", list(.missing))]
    Missing {
        /// How it would have authenticated.
        method: &'static str,
        /// Each of them.
        missing: Vec<Missing>,
    },
    /// A setting whose value can't be.
    #[error("{name} {problem}")]
    Invalid {
        /// Its name.
        name: String,
        /// What is wrong with the value, which isn't shown: it may hold a secret.
        problem: String,
    },
    /// A file that a setting leads to.
    #[error("can't use {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and never its content.
        problem: String,
    },
    /// `OS_CLOUD` names a cloud that no file has.
    #[error(
        "OS_CLOUD is {cloud:?}, which isn't in {}",
        if places.is_empty() { "any file".to_owned() } else { places.join(", ") }
    )]
    NoCloud {
        /// The name.
        cloud: String,
        /// The file that was read, with the clouds it has, or all files that were looked for.
        places: Vec<String>,
    },
}

/// A setting that is nowhere.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Missing {
    /// The names under which it is looked for.
    pub names: Vec<&'static str>,
}

impl ConfigError {
    /// What to do about it, where that can be told.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCredentials => Some(
                "set OS_AUTH_URL with OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET, or with \
                 OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME; or OS_CLOUD, for a cloud of clouds.yaml; or ST_AUTH, ST_USER \
                 and ST_KEY",
            ),
            Self::Missing { .. } => {
                Some("set them, or name with OS_CLOUD a cloud of clouds.yaml that has them")
            }
            Self::Invalid { .. } | Self::File { .. } | Self::NoCloud { .. } => None,
        }
    }

    pub(crate) fn invalid(name: &str, problem: impl Into<String>) -> Self {
        Self::Invalid { name: name.to_owned(), problem: problem.into() }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::File { path: path.into(), problem: problem.into() }
    }
}

/// `OS_USERNAME or OS_USER_ID, OS_PASSWORD`.
fn list(missing: &[Missing]) -> String {
    missing.iter().map(|one| one.names.join(" or ")).collect::<Vec<_>>().join(", ")
}
