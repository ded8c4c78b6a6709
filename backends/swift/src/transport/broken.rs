//! Why an HTTP exchange has no complete response, and whether a retry may help.

use std::{error::Error as StdError, io, time::Duration};

use http::StatusCode;
use thiserror::Error;
use url::Url;

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
    #[error("{} {reason}", certificate_of(.proxy.as_deref()))]
    Untrusted {
        reason: Distrust,
        /// The proxy whose certificate it is; None if it is the server's.
        proxy: Option<Box<Proxy>>,
        is_ca_given: bool,
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// No connection through a proxy could be established, or it answered the request itself.
    #[error("{proxy} failed")]
    Proxy {
        proxy: Proxy,
        /// Whether another try may succeed.
        is_outage: bool,
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("no progress for {} s", .0.as_secs_f64().ceil())]
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
            Self::Untrusted { reason, proxy, is_ca_given, .. } => {
                let setting = proxy.as_ref().map_or("OS_AUTH_URL or OS_STORAGE_URL", |proxy| proxy.variable);
                reason.hint(setting, *is_ca_given)
            }
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
        let proxy = proxy.filter(|_| is_of_proxy(&error));
        match (tls_error(&error), server, proxy) {
            (Some(rustls::Error::InvalidCertificate(reason)), ..) => {
                let reason = Distrust::of(reason);
                // The other reasons say as much as their source.
                let source = (reason == Distrust::Other).then_some(source);
                Self::Untrusted { reason, proxy: proxy.cloned().map(Box::new), is_ca_given, source }
            }
            // The first bytes weren't TLS.
            (Some(rustls::Error::InvalidMessage(_)), Some(server), _) if error.is_connect() => {
                Self::NotTls { server: proxy.map_or(server, Proxy::to_string) }
            }
            (_, _, Some(proxy)) => {
                Self::Proxy { proxy: proxy.clone(), is_outage: !is_refusal(&*source), source }
            }
            (None, Some(server), None) if server.starts_with("http:") && is_not_http(&error) => {
                Self::NotHttp { server }
            }
            (_, Some(server), None) if error.is_connect() => Self::Unreachable { server, source },
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
        let source = "its address isn't of the form http://HOST:PORT or https://HOST:PORT".into();
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

fn certificate_of(proxy: Option<&Proxy>) -> String {
    proxy.map_or_else(|| "the server's certificate".to_owned(), |proxy| format!("the certificate of {proxy}"))
}

/// The error at the end of the chain. The errors before it only repeat that a request failed.
fn first_cause(error: &reqwest::Error) -> &(dyn StdError + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
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

/// Whether the failure of a request that was sent through a proxy is the proxy's. To a server with TLS, the proxy
/// establishes a tunnel first, and what fails in it is the server's. The HTTP client tells only by its text.
fn is_of_proxy(error: &reqwest::Error) -> bool {
    match error.url().map(Url::scheme) {
        Some("https") => {
            let is_of_tunnel =
                |cause: &(dyn StdError + 'static)| cause.to_string().starts_with("tunnel error");
            error.is_connect() && (tls_error(error).is_none() || causes(error).any(is_of_tunnel))
        }
        _ => error.is_connect() || is_not_http(error),
    }
}

/// Whether the response isn't HTTP, as from a server that expects TLS. The HTTP client tells only by its text.
fn is_not_http(error: &reqwest::Error) -> bool {
    first_cause(error).to_string().contains("invalid HTTP version")
}

/// Whether a proxy asks for a password. The HTTP client tells only by its text.
fn is_refusal(cause: &(dyn StdError + Send + Sync)) -> bool {
    cause.to_string().contains("proxy authorization required")
}
