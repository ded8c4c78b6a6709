//! The errors of settings.

use std::path::PathBuf;

use thiserror::Error;

/// Settings that can't be used. No request was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No credentials are set.
    #[error("no credentials are set")]
    NoCredentials,
    /// Settings that this authentication method needs are missing.
    #[error("to authenticate with {method}, these settings are missing: {}", list(.missing))]
    Missing {
        /// The authentication method.
        method: &'static str,
        /// The missing settings.
        missing: Vec<Missing>,
    },
    /// A setting has an invalid value.
    #[error("{name} {problem}")]
    Invalid {
        /// The name of the setting.
        name: String,
        /// What is wrong with the value, which isn't shown since it may be a secret.
        problem: String,
    },
    /// A project or trust is given beside an application credential, which is bound to its own project.
    #[error(
        "{project} says which project to use, but the application credential of {credential} is bound to its own project"
    )]
    BoundToProject {
        /// The setting that names the project or trust.
        project: &'static str,
        /// The setting that names the application credential.
        credential: &'static str,
    },
    /// A file that a setting refers to can't be used.
    #[error("can't use {}: {problem}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with it. It never contains the file's content.
        problem: String,
    },
    /// No file contains the cloud that `OS_CLOUD` names.
    #[error(
        "OS_CLOUD is '{}', which isn't in {}",
        cloud.escape_debug(),
        if places.is_empty() { "any file".to_owned() } else { places.join(", ") }
    )]
    NoCloud {
        /// The name of the cloud.
        cloud: String,
        /// The file that was read and the clouds in it, or all files that were looked for.
        places: Vec<String>,
    },
}

/// A missing setting.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Missing {
    /// The names under which the setting may be given.
    pub names: Vec<&'static str>,
}

impl ConfigError {
    /// What to do about the error, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCredentials => Some(
                "set OS_AUTH_URL with OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET, or with \
                 OS_USERNAME, OS_PASSWORD and OS_PROJECT_NAME; or OS_CLOUD, for a cloud of clouds.yaml; or ST_AUTH, ST_USER \
                 and ST_KEY",
            ),
            Self::Missing { .. } => Some("set them, or set OS_CLOUD to a cloud of clouds.yaml that has them"),
            Self::BoundToProject { .. } => Some(
                "remove one of the two; if the project is right, set OS_AUTH_TYPE to v3password and the user and password \
                 beside it",
            ),
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

/// As text: `OS_USERNAME or OS_USER_ID, OS_PASSWORD`.
fn list(missing: &[Missing]) -> String {
    missing.iter().map(|one| one.names.join(" or ")).collect::<Vec<_>>().join(", ")
}
