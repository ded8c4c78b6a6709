//! Why a repository's storage could not be opened.

use std::error::Error;

use thiserror::Error;
use url::Url;

/// Why a repository's storage could not be opened. The [hint](Self::hint) says what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No backend answers to the URL's scheme.
    #[error("no storage has the scheme '{scheme}://'")]
    UnknownScheme {
        /// The scheme asked for.
        scheme: String,
        /// The schemes there are, and which one was most likely meant.
        hint: String,
    },
    /// The URL isn't one that this backend can understand.
    #[error("'{location}' doesn't name a repository: {reason}")]
    InvalidLocation {
        /// The URL asked for.
        location: String,
        /// What is wrong with it.
        reason: String,
        /// What would be right.
        hint: Option<String>,
    },
    /// The backend's settings are missing or contradict each other.
    #[error("the settings for '{location}' are invalid: {reason}")]
    Settings {
        /// The URL asked for.
        location: String,
        /// What is missing or wrong. Never a secret.
        reason: String,
        /// Where it could come from.
        hint: Option<String>,
    },
    /// The place isn't there, or can't be used.
    #[error("can't use the repository at '{location}': {reason}")]
    Unavailable {
        /// The URL asked for.
        location: String,
        /// What was tried.
        reason: String,
        /// The way out.
        hint: Option<String>,
        /// What the system said.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl OpenError {
    /// [`InvalidLocation`](Self::InvalidLocation), without a hint.
    pub fn invalid_location(location: &Url, reason: impl Into<String>) -> Self {
        Self::InvalidLocation { location: location.to_string(), reason: reason.into(), hint: None }
    }

    /// [`Settings`](Self::Settings), without a hint.
    pub fn settings(location: &Url, reason: impl Into<String>) -> Self {
        Self::Settings { location: location.to_string(), reason: reason.into(), hint: None }
    }

    /// [`Unavailable`](Self::Unavailable), without a hint.
    pub fn unavailable(
        location: &Url,
        reason: impl Into<String>,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Unavailable { location: location.to_string(), reason: reason.into(), hint: None, source }
    }

    /// The same error with this hint, behind the one that it may have already.
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
