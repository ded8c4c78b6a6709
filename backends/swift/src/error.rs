//! The errors of requests ([`Error`], [`Kind`]) and of the store's own checks ([`StoreError`]).

mod store_error;

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use http::{Method, StatusCode};
use thiserror::Error;

pub use self::store_error::{SigningProblem, StoreError};
use crate::{auth::AuthError, transport::Broken};

/// A failed request to Swift, with the details by which an operator of the cluster finds it in the logs.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    method: Method,
    target: String,
    trans_id: Option<String>,
    tries: u32,
    kind: Kind,
}

/// The reason why a request failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Kind {
    /// Swift answered with a status other than success, or with a body that reports a failure.
    #[error("answered {}{}", named(*.status), after_colon(.detail))]
    Answer {
        /// The status of the response, or of the report in its body.
        status: StatusCode,
        /// The text of the body, shortened, or what is wrong with the body. It may be empty.
        detail: String,
    },
    /// No connection could be established.
    #[error("no connection to {server}")]
    Unreachable {
        /// Scheme, host and port.
        server: String,
        /// The failure of the last try.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The response was incomplete: reset, cut off, or not HTTP.
    #[error("incomplete answer")]
    Connection(#[source] Box<dyn StdError + Send + Sync>),
    /// No request could be sent: the server's certificate isn't valid, the server doesn't speak the protocol of its
    /// URL, or a proxy failed.
    #[error("no usable connection")]
    Unusable(#[source] Box<dyn StdError + Send + Sync>),
    /// The server refers to another URL. Redirects aren't followed, since the token would go there.
    #[error("answered {status}: it redirects to {to}")]
    Redirected {
        /// The status of the response.
        status: StatusCode,
        /// The URL of the account at the other server if that is known, or else the whole URL.
        to: String,
    },
    /// Less than 64 KiB were sent or received during this time.
    #[error("no progress for {} s", .0.as_secs_f64().ceil())]
    Stalled(Duration),
    /// The response is longer than any valid one.
    #[error("the answer is longer than {limit} bytes")]
    TooLong {
        /// The largest accepted length.
        limit: usize,
    },
    /// A name or token isn't valid in HTTP. No request was sent.
    #[error("invalid {what}")]
    InvalidInput {
        /// The invalid part of the request.
        what: &'static str,
    },
    /// No token could be obtained.
    #[error("authentication failed")]
    Auth(#[source] Arc<AuthError>),
}

impl Kind {
    /// An error for a response with a status and no detail.
    pub(crate) fn answer(status: StatusCode) -> Self {
        Self::Answer { status, detail: String::new() }
    }

    /// How long nothing had been transferred when the request failed.
    pub(crate) fn idle(&self) -> Duration {
        match self {
            Self::Stalled(idle) => *idle,
            Self::Auth(error) => error.idle(),
            _ => Duration::ZERO,
        }
    }

    /// Whether Swift has refused the token.
    pub(crate) fn is_refused_token(&self) -> bool {
        matches!(self, Self::Answer { status, .. } if *status == StatusCode::UNAUTHORIZED)
    }

    /// Whether the response was missing or incomplete.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Connection(_) | Self::Unusable(_) | Self::Stalled(_))
    }

    /// Whether there may be no such server any more.
    pub(crate) fn leads_nowhere(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unusable(_) | Self::Redirected { .. })
    }
}

/// The status with its name.
fn named(status: StatusCode) -> String {
    match status.as_u16() {
        // Swift's own status.
        498 => "498 Rate Limited".to_owned(),
        _ => status.to_string(),
    }
}

/// The detail, with the colon that separates it from the status.
fn after_colon(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

impl Error {
    pub(crate) fn new(method: Method, target: impl Into<String>, tries: u32, kind: Kind) -> Self {
        Self(Box::new(Inner { method, target: target.into(), trans_id: None, tries, kind }))
    }

    #[must_use]
    pub(crate) fn with_trans_id(mut self, trans_id: Option<String>) -> Self {
        self.0.trans_id = trans_id;
        self
    }

    /// Returns the Swift error that caused an error of the object store.
    pub(crate) fn of(error: &object_store::Error) -> Option<&Self> {
        error.source().and_then(|source| source.downcast_ref())
    }

    /// What to do about the error, if that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        let (status, detail) = match self.kind() {
            Kind::Answer { status, detail } => (status.as_u16(), detail),
            Kind::Unreachable { .. } => {
                return Some(
                    "check that it is running, and its address, which is OS_STORAGE_URL or else that of the catalog",
                );
            }
            Kind::Redirected { .. } => {
                return Some(
                    "redirects aren't followed, since they would take the token along; if that is the cluster, set \
                     OS_STORAGE_URL to that address",
                );
            }
            _ => return None,
        };
        Some(match status {
            409 if self.0.method == Method::GET => {
                "a segment of this large object is missing, or this user may not read it"
            }
            401 => "the token isn't valid for this account: check its expiry, project and access rules",
            403 => {
                "give the user a role in the project that counts as an operator in Swift (operator_roles), or access by \
                 the container's ACL"
            }
            413 if detail.to_lowercase().contains("quota") => {
                "the quota of the container or the account is used up: raise it, or delete what isn't needed"
            }
            413 => {
                "the object is larger than this cluster accepts (max_file_size in its /info), or a quota is used up: raise it"
            }
            _ => return None,
        })
    }

    /// The reason why the request failed.
    #[must_use]
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }

    /// The status of Swift's response, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self.0.kind {
            Kind::Answer { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.0.method
    }

    /// The target of the request: `container/object`, `container`, or the account's URL.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.0.target
    }

    /// The `X-Trans-Id` of the last try, which identifies it in Swift's logs.
    #[must_use]
    pub fn trans_id(&self) -> Option<&str> {
        self.0.trans_id.as_deref()
    }

    /// The number of tries.
    #[must_use]
    pub fn tries(&self) -> u32 {
        self.0.tries
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { method, target, trans_id, tries, kind } = &*self.0;
        write!(f, "{method} {target}: {kind}")?;
        match (trans_id, tries) {
            (Some(id), 0 | 1) => write!(f, " (X-Trans-Id {id})"),
            (Some(id), tries) => write!(f, " (tried {tries} times, X-Trans-Id {id})"),
            (None, 0 | 1) => Ok(()),
            (None, tries) => write!(f, " (tried {tries} times)"),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.kind.source()
    }
}

impl From<Broken> for Kind {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stalled(silence) => Self::Stalled(silence),
            Broken::TooLong(limit) => Self::TooLong { limit },
            Broken::Unreachable { server, source } => Self::Unreachable { server, source },
            Broken::Connection(error) => Self::Connection(error),
            unusable @ (Broken::Untrusted { .. }
            | Broken::Proxy { .. }
            | Broken::Tls(_)
            | Broken::NotTls { .. }
            | Broken::NotHttp { .. }) => Self::Unusable(unusable.into()),
        }
    }
}

/// The error of an operation of `object_store` that Swift doesn't support.
pub(crate) fn not_implemented(operation: &str) -> object_store::Error {
    object_store::Error::NotImplemented { operation: operation.to_owned(), implementer: "Swift".to_owned() }
}

/// Converts to the nearest variant, by status: 401, 403, 404, 304 and 412 have variants.
impl From<Error> for object_store::Error {
    fn from(error: Error) -> Self {
        let path = error.target().to_owned();
        let status = match error.kind() {
            Kind::Auth(auth) if auth.is_refusal() => Some(StatusCode::UNAUTHORIZED),
            _ => error.status(),
        };
        let source = Box::new(error);
        match status {
            Some(StatusCode::NOT_FOUND) => Self::NotFound { path, source },
            Some(StatusCode::NOT_MODIFIED) => Self::NotModified { path, source },
            Some(StatusCode::UNAUTHORIZED) => Self::Unauthenticated { path, source },
            Some(StatusCode::FORBIDDEN) => Self::PermissionDenied { path, source },
            Some(StatusCode::PRECONDITION_FAILED) => Self::Precondition { path, source },
            _ => Self::Generic { store: "Swift", source },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Error {
        let kind = Kind::answer(StatusCode::from_u16(status).unwrap());
        Error::new(Method::PUT, "backups/a", 4, kind).with_trans_id(Some("tx1".to_owned()))
    }

    #[test]
    fn an_error_says_what_was_tried_on_what_how_often_and_where_to_look() {
        let expected = "PUT backups/a: answered 503 Service Unavailable (tried 4 times, X-Trans-Id tx1)";
        assert_eq!(answered(503).to_string(), expected);
    }

    #[test]
    fn an_error_has_a_hint_where_there_is_one() {
        let refused = |detail: &str| {
            let kind = Kind::Answer { status: StatusCode::PAYLOAD_TOO_LARGE, detail: detail.to_owned() };
            Error::new(Method::PUT, "backups/a", 1, kind)
        };
        let error = refused("Upload exceeds quota.");
        let text = "PUT backups/a: answered 413 Payload Too Large: Upload exceeds quota.";
        assert_eq!(error.to_string(), text);
        assert!(error.hint().unwrap().starts_with("the quota of the container or the account"));
        let hint = refused("").hint().unwrap();
        assert!(hint.contains("max_file_size") && !hint.contains("of the container or"), "{hint}");
        assert!(answered(498).to_string().contains("answered 498 Rate Limited (tried"));
        assert_eq!(answered(498).hint(), None);
        let unreadable = Error::new(Method::GET, "backups/a", 1, Kind::answer(StatusCode::CONFLICT));
        assert!(unreadable.hint().unwrap().starts_with("a segment of this large object is missing"));
    }

    #[test]
    fn a_server_that_cannot_be_reached_is_named() {
        let kind = Kind::Unreachable { server: "http://swift:8080".to_owned(), source: "refused".into() };
        let error = Error::new(Method::GET, "backups/a", 2, kind);
        let text = "GET backups/a: no connection to http://swift:8080 (tried 2 times)";
        assert_eq!(error.to_string(), text);
        let hint = error.hint().unwrap();
        assert!(hint.starts_with("check that it is running, ") && hint.contains("OS_STORAGE_URL"), "{hint}");
    }

    #[test]
    fn a_short_silence_is_not_told_as_none() {
        let told = |millis| Kind::Stalled(Duration::from_millis(millis)).to_string();
        assert_eq!(told(40), "no progress for 1 s");
        assert_eq!(told(60_000), "no progress for 60 s");
        assert_eq!(Broken::Stalled(Duration::from_millis(500)).to_string(), "no progress for 1 s");
    }

    #[test]
    fn an_error_does_not_repeat_its_source() {
        let url = "http://keystone/v3".parse().unwrap();
        let refused = AuthError::Refused { url, status: StatusCode::UNAUTHORIZED };
        let error = Error::new(Method::GET, "backups/a", 0, Kind::Auth(Arc::new(refused)));
        assert_eq!(error.to_string(), "GET backups/a: authentication failed");
        assert!(error.source().unwrap().to_string().contains("keystone"));
    }

    #[test]
    fn statuses_with_a_meaning_of_their_own_keep_it() {
        use object_store::Error as Store;
        assert!(matches!(answered(404).into(), Store::NotFound { path, .. } if path == "backups/a"));
        assert!(matches!(answered(304).into(), Store::NotModified { .. }));
        assert!(matches!(answered(401).into(), Store::Unauthenticated { .. }));
        assert!(matches!(answered(403).into(), Store::PermissionDenied { .. }));
        assert!(matches!(answered(412).into(), Store::Precondition { .. }));
        assert!(matches!(answered(503).into(), Store::Generic { .. }));
    }
}
