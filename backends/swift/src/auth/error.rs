//! The error of a request for a token.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

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
        /// The other URL, in the form of the setting.
        to: String,
        /// Whether that is Swift's own version 1.
        is_v1: bool,
    },
    /// The server isn't an identity service.
    #[error("{url} answered {status}, which no identity service returns")]
    NotThere {
        /// The URL of the identity service.
        url: Url,
        /// The status of the response.
        status: StatusCode,
        /// Whether that is Swift's own version 1.
        is_v1: bool,
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
        /// Whether that is Swift's own version 1.
        is_v1: bool,
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

    pub(super) fn unreachable(url: &Url, is_v1: bool, source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Unreachable { url: url.clone(), source: Box::new(source), is_v1 }
    }

    /// What to do about the error, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Refused { .. } => {
                "check user, password or secret, project and domains, or the token, and whether they have expired".into()
            }
            Self::NotThere { is_v1, .. } => {
                format!("check {} and OS_IDENTITY_API_VERSION", url_setting(*is_v1)).into()
            }
            Self::Redirected { is_v1, .. } => format!(
                "redirects aren't followed, since they would take the credentials along; if that is the identity service, \
                 set {} to that address",
                url_setting(*is_v1)
            )
            .into(),
            // Its source has advice of its own.
            Self::Unreachable { .. } if self.broken().and_then(Broken::hint).is_some() => return None,
            Self::Unreachable { is_v1, .. } => format!("check {}", url_setting(*is_v1)).into(),
            Self::NoEndpoint { .. } => "check OS_REGION_NAME and OS_INTERFACE, or set OS_STORAGE_URL".into(),
            Self::Unavailable { .. } | Self::Unreadable { .. } => return None,
        })
    }

    /// How long nothing had been transferred when the request failed.
    pub(crate) fn idle(&self) -> Duration {
        self.broken().map(Broken::idle).unwrap_or_default()
    }

    fn broken(&self) -> Option<&Broken> {
        if let Self::Unreachable { source, .. } = self { source.downcast_ref() } else { None }
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

/// The setting with the URL of the identity service.
fn url_setting(is_v1: bool) -> &'static str {
    if is_v1 { "ST_AUTH (or OS_AUTH_URL)" } else { "OS_AUTH_URL" }
}
