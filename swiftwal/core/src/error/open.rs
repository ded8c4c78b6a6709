//! The errors of opening a repository's storage.

use std::error::Error;

use thiserror::Error;
use url::Url;

/// The reason why a repository's storage couldn't be opened. The [hint](Self::hint) says what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No backend handles the URL's scheme.
    #[error("no storage has the scheme '{scheme}://'")]
    UnknownScheme {
        /// The scheme of the URL.
        scheme: String,
        /// The known schemes, and the one that was most likely meant.
        hint: String,
    },
    /// The backend can't interpret the URL.
    #[error("'{location}' doesn't name a repository: {reason}")]
    InvalidLocation {
        /// The URL.
        location: String,
        /// What is wrong with it.
        reason: String,
        /// What would be correct.
        hint: Option<String>,
    },
    /// The backend's settings are missing or contradict each other.
    #[error("the settings for '{location}' are invalid: {reason}")]
    Settings {
        /// The URL.
        location: String,
        /// What is missing or wrong. It never contains a secret.
        reason: String,
        /// Where to set it.
        hint: Option<String>,
    },
    /// The directory or container doesn't exist, or can't be used.
    #[error("can't use the repository at '{location}': {reason}")]
    Unavailable {
        /// The URL.
        location: String,
        /// What failed.
        reason: String,
        /// What to do about it.
        hint: Option<String>,
        /// The system's error.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl OpenError {
    /// Creates [`InvalidLocation`](Self::InvalidLocation), without a hint.
    pub fn invalid_location(location: &Url, reason: impl Into<String>) -> Self {
        Self::InvalidLocation { location: location.to_string(), reason: reason.into(), hint: None }
    }

    /// Creates [`Settings`](Self::Settings), without a hint.
    pub fn settings(location: &Url, reason: impl Into<String>) -> Self {
        Self::Settings { location: location.to_string(), reason: reason.into(), hint: None }
    }

    /// Creates [`Unavailable`](Self::Unavailable), without a hint.
    pub fn unavailable(
        location: &Url,
        reason: impl Into<String>,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { location: location.to_string(), reason: reason.into(), hint: None, source }
    }

    /// Adds a hint, after the one that the error may have already.
    #[must_use]
    pub fn with_hint(mut self, more: impl Into<String>) -> Self {
        let more = more.into();
        match &mut self {
            Self::UnknownScheme { hint, .. } => *hint = format!("{hint}; {more}"),
            Self::InvalidLocation { hint, .. }
            | Self::Settings { hint, .. }
            | Self::Unavailable { hint, .. } => {
                *hint = Some(hint.take().map_or_else(|| more.clone(), |hint| format!("{hint}; {more}")));
            }
        }
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::UnknownScheme { hint, .. } => Some(hint),
            Self::InvalidLocation { hint, .. }
            | Self::Settings { hint, .. }
            | Self::Unavailable { hint, .. } => hint.as_deref(),
        }
    }
}
