//! The error of a request for a token.

use std::error::Error as StdError;

use http::StatusCode;
use thiserror::Error;
use url::Url;

use crate::transport::Broken;

/// The reason why no token could be obtained.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The credentials were refused.
    #[error("{url} refused the credentials ({status})")]
    Refused {
        /// The URL of the identity service.
        url: Url,
        /// The status of the response.
        status: StatusCode,
    },
    /// The server refers to another URL. Redirects aren't followed, since the credentials would go there.
    #[error("{url} answered {status}: it redirects to {to}")]
    Redirected {
        /// The URL of the identity service.
        url: Url,
        /// The status of the response.
        status: StatusCode,
        /// The other URL, in the form of `OS_AUTH_URL`.
        to: String,
    },
    /// The server isn't an identity service.
    #[error("{url} answered {status}, which no identity service returns")]
    NotThere {
        /// The URL of the identity service.
        url: Url,
        /// The status of the response.
        status: StatusCode,
    },
    /// The identity service failed, with every retry.
    #[error("{url} answered {status}")]
    Unavailable {
        /// The URL of the identity service.
        url: Url,
        /// The status of the last response.
        status: StatusCode,
    },
    /// No response arrived, with every retry.
    #[error("no answer from {url}")]
    Unreachable {
        /// The URL of the identity service.
        url: Url,
        /// The failure of the last try.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The response contains no token, or doesn't follow the protocol.
    #[error("the answer of {url} can't be used: {problem}")]
    Unreadable {
        /// The URL of the identity service.
        url: Url,
        /// What is missing or wrong.
        problem: String,
    },
    /// The token is valid, but its catalog has no matching endpoint.
    #[error(
        "the catalog has no endpoint {wanted}; it has {}",
        if known.is_empty() { "none of object-store".to_owned() } else { known.join(", ") }
    )]
    NoEndpoint {
        /// The wanted type, interface and region.
        wanted: String,
        /// The interface and region of each endpoint in the catalog.
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

    /// What to do about the error, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => Some(
                "check user, password or secret, project and domains, or the token, and whether they have expired",
            ),
            Self::NotThere { .. } => Some("check OS_AUTH_URL and OS_IDENTITY_API_VERSION"),
            Self::Redirected { .. } => Some(
                "redirects aren't followed, since they would take the credentials along; if that is the identity service, \
                 set OS_AUTH_URL (or ST_AUTH) to that address",
            ),
            // Its source has advice of its own.
            Self::Unreachable { source, .. }
                if source.downcast_ref::<Broken>().and_then(Broken::hint).is_some() =>
            {
                None
            }
            Self::Unreachable { .. } => Some("check OS_AUTH_URL"),
            Self::NoEndpoint { .. } => Some("check OS_REGION_NAME and OS_INTERFACE, or set OS_STORAGE_URL"),
            Self::Unavailable { .. } | Self::Unreadable { .. } => None,
        }
    }

    /// Whether the identity service didn't serve the request.
    pub(super) fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unreachable { .. })
    }

    /// Whether the identity service refused the credentials. Another request with them would be refused, too.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}
