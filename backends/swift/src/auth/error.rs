//! Why there is no token.

use std::error::Error as StdError;

use http::StatusCode;
use thiserror::Error;
use url::Url;

/// Why no token could be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The credentials were refused.
    #[error("{url} refused the credentials ({status})")]
    Refused {
        /// What was asked.
        url: Url,
        /// The answer.
        status: StatusCode,
    },
    /// Whatever is there, it isn't the identity service that was meant.
    #[error("{url} answered {status}, which no identity service returns")]
    NotThere {
        /// What was asked.
        url: Url,
        /// The answer.
        status: StatusCode,
    },
    /// The identity service is in trouble, and was until time was up.
    #[error("{url} answered {status}")]
    Unavailable {
        /// What was asked.
        url: Url,
        /// The last answer.
        status: StatusCode,
    },
    /// No answer came until time was up.
    #[error("no answer from {url}")]
    Unreachable {
        /// What was asked.
        url: Url,
        /// Why the last try failed.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The answer has no token, or isn't what the protocol says.
    #[error("the answer of {url} can't be used: {problem}")]
    Unreadable {
        /// What was asked.
        url: Url,
        /// What is missing or wrong.
        problem: String,
    },
    /// The token is good, but its catalog doesn't say where the objects are.
    #[error(
        "the catalog has no endpoint {wanted}, but {}",
        if known.is_empty() { "none of object-store at all".to_owned() } else { known.join(", ") }
    )]
    NoEndpoint {
        /// Type, interface and region that were looked for.
        wanted: String,
        /// Interface and region of those that are there.
        known: Vec<String>,
    },
}

impl AuthError {
    pub(super) fn unavailable(url: &Url, status: StatusCode) -> Self {
        Self::Unavailable { url: url.clone(), status }
    }

    pub(super) fn unreachable(url: &Url, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Unreachable { url: url.clone(), source: Box::new(source) }
    }

    /// What to do about it, where that can be told.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => Some(
                "check user, password or secret, project and domains, or the token, and whether they have expired",
            ),
            Self::NotThere { .. } => Some("check OS_AUTH_URL and OS_IDENTITY_API_VERSION"),
            Self::Unreachable { .. } => Some("check OS_AUTH_URL"),
            Self::NoEndpoint { .. } => Some("check OS_REGION_NAME and OS_INTERFACE, or set OS_STORAGE_URL"),
            Self::Unavailable { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// Whether the identity service didn't serve the request.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unreachable { .. })
    }

    /// Whether the credentials were understood and refused, so that asking again is of no use.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}
