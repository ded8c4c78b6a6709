//! Why an HTTP exchange has no complete response, and whether a retry may help.

use std::{error::Error as StdError, io, time::Duration};

use thiserror::Error;

use crate::retry::Outcome;

/// The reason for a missing or incomplete response, without the URL, which the caller knows.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// No connection could be established to this scheme, host and port.
    #[error("no connection")]
    Unreachable { server: String, source: Box<dyn StdError + Send + Sync> },
    #[error("the connection failed")]
    Connection(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the server's certificate isn't trusted")]
    Untrusted(#[source] Box<dyn StdError + Send + Sync>),
    #[error("no progress for {:.0} s", .0.as_secs_f64())]
    Stalled(Duration),
    #[error("{server} doesn't speak TLS")]
    NotTls { server: String },
    #[error("{server} doesn't speak plain HTTP")]
    NotHttp { server: String },
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("TLS can't be set up")]
    Tls(#[source] Box<dyn StdError + Send + Sync>),
}

impl Broken {
    /// What to do about the error, if that is known.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Untrusted(_) | Self::Tls(_) => Some("give the authority's certificate with OS_CACERT"),
            Self::NotTls { .. } => Some("use http:// for it, or the port where it speaks https"),
            Self::NotHttp { .. } => Some("use https:// for it, if it speaks TLS"),
            _ => None,
        }
    }

    pub(super) fn connection(error: reqwest::Error) -> Self {
        let source: Box<dyn StdError + Send + Sync> = first_cause(&error).to_string().into();
        let server = error.url().map(|url| url.origin().ascii_serialization());
        match (tls_error(&error), server) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => Self::Untrusted(source),
            // The server's first bytes weren't TLS.
            (Some(rustls::Error::InvalidMessage(_)), Some(server)) if error.is_connect() => {
                Self::NotTls { server }
            }
            (None, Some(server)) if is_not_http(&*source) => Self::NotHttp { server },
            (_, Some(server)) if error.is_connect() => Self::Unreachable { server, source },
            _ => Self::Connection(source),
        }
    }

    /// How long nothing had been transferred when it broke.
    pub(crate) fn idle(&self) -> Duration {
        if let Self::Stalled(idle) = self { *idle } else { Duration::ZERO }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Untrusted(_)
            | Self::Tls(_)
            | Self::TooLong(_)
            | Self::NotTls { .. }
            | Self::NotHttp { .. } => Outcome::Hopeless,
            Self::Unreachable { .. } | Self::Connection(_) | Self::Stalled(_) => Outcome::Broken,
        }
    }
}

/// The error at the end of the chain. The errors before it only repeat that a request failed.
fn first_cause(error: &reqwest::Error) -> &(dyn StdError + 'static) {
    let mut cause: &(dyn StdError + 'static) = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

/// The TLS error, if that is the reason.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        // An I/O error's `source` is the source of the error that it wraps, so the wrapped error is examined.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = wrapped.and_then(|error| error.downcast_ref()).or_else(|| error.downcast_ref());
        if tls.is_some() {
            return tls;
        }
        next = wrapped.map(|error| error as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// Whether the response isn't HTTP, as from a server that expects TLS. The HTTP client tells only by its text.
fn is_not_http(cause: &(dyn StdError + Send + Sync)) -> bool {
    cause.to_string().contains("invalid HTTP version")
}
