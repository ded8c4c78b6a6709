//! Why an HTTP exchange has no complete response, and whether a retry may help.

use std::{error::Error as StdError, io, time::Duration};

use http::StatusCode;
use thiserror::Error;

use super::distrust::Distrust;
use crate::{config::Proxy, retry::Outcome};

/// The reason for a missing or incomplete response, without the URL, which the caller knows.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// No connection could be established to this scheme, host and port.
    #[error("no connection")]
    Unreachable { server: String, source: Box<dyn StdError + Send + Sync> },
    #[error("the connection failed")]
    Connection(#[source] Box<dyn StdError + Send + Sync>),
    #[error("{reason}")]
    Untrusted { reason: Distrust, is_ca_given: bool, source: Option<Box<dyn StdError + Send + Sync>> },
    /// No connection through a proxy could be established, or it answered the request itself.
    #[error("{proxy} failed")]
    Proxy {
        proxy: Proxy,
        /// Whether another try may succeed.
        is_outage: bool,
        source: Box<dyn StdError + Send + Sync>,
    },
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
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Untrusted { reason, is_ca_given, .. } => reason.hint(*is_ca_given),
            Self::Proxy { proxy: Proxy { variable, .. }, .. } => {
                format!("check {variable}, or name the host in NO_PROXY to reach it without a proxy")
            }
            Self::Tls(_) => "check the certificates of this system, or set OS_CACERT".to_owned(),
            Self::NotTls { .. } => "use http:// for it, or the port where it speaks https".to_owned(),
            Self::NotHttp { .. } => "use https:// for it, if it speaks TLS".to_owned(),
            _ => return None,
        })
    }

    /// The failure of a request that was sent through `proxy`, if any. `is_ca_given` says whether `OS_CACERT` is set.
    pub(super) fn connection(error: reqwest::Error, proxy: Option<&Proxy>, is_ca_given: bool) -> Self {
        let source: Box<dyn StdError + Send + Sync> = first_cause(&error).to_string().into();
        let server = error.url().map(|url| url.origin().ascii_serialization());
        match (tls_error(&error), server, proxy) {
            (Some(rustls::Error::InvalidCertificate(reason)), ..) => {
                let reason = Distrust::of(reason);
                // The other reasons say as much as their source.
                let source = (reason == Distrust::Other).then_some(source);
                Self::Untrusted { reason, is_ca_given, source }
            }
            // The server's first bytes weren't TLS.
            (Some(rustls::Error::InvalidMessage(_)), Some(server), None) if error.is_connect() => {
                Self::NotTls { server }
            }
            (None, _, Some(proxy)) if error.is_connect() || is_not_http(&*source) => {
                Self::Proxy { proxy: proxy.clone(), is_outage: !is_refusal(&*source), source }
            }
            (None, Some(server), None) if is_not_http(&*source) => Self::NotHttp { server },
            (_, Some(server), _) if error.is_connect() => Self::Unreachable { server, source },
            _ => Self::Connection(source),
        }
    }

    /// The failure of a connection whose response had begun.
    pub(super) fn interrupted(error: &reqwest::Error) -> Self {
        Self::Connection(first_cause(error).to_string().into())
    }

    /// The failure of a proxy that sent this response itself.
    pub(super) fn answer_of_proxy(proxy: &Proxy, status: StatusCode) -> Self {
        let is_outage = status.is_server_error();
        Self::Proxy { proxy: proxy.clone(), is_outage, source: format!("answered {status}").into() }
    }

    /// The failure of a proxy whose address can't be used.
    pub(super) fn unusable_proxy(proxy: &Proxy) -> Self {
        let source = "its address isn't of the form http://HOST:PORT".into();
        Self::Proxy { proxy: proxy.clone(), is_outage: false, source }
    }

    /// How long nothing had been transferred when it broke.
    pub(crate) fn idle(&self) -> Duration {
        if let Self::Stalled(idle) = self { *idle } else { Duration::ZERO }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::Untrusted { .. }
            | Self::Proxy { is_outage: false, .. }
            | Self::Tls(_)
            | Self::TooLong(_)
            | Self::NotTls { .. }
            | Self::NotHttp { .. } => Outcome::Hopeless,
            Self::Unreachable { .. } | Self::Proxy { .. } | Self::Connection(_) | Self::Stalled(_) => {
                Outcome::Broken
            }
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

/// Whether a proxy asks for a password. The HTTP client tells only by its text.
fn is_refusal(cause: &(dyn StdError + Send + Sync)) -> bool {
    cause.to_string().contains("proxy authorization required")
}
