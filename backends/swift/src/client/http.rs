use std::{
    error::Error as StdError,
    io,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use object_store::PutPayload;
use reqwest::Body;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;
use url::Url;

use super::{
    trace::Trace,
    upload::{Activity, Upload},
    watched::Watched,
};
use crate::{
    Config, ConfigError, Kind,
    config::Timeouts,
    regular_file::read_regular_file,
    retry::{Exhaustion, Outcome},
};

/// More than all certificates of a system have.
const MOST_BYTES_OF_ROOTS: u64 = 16 << 20;

/// Servers and balancers close idle connections after a minute or less; a request on one that is being closed fails.
const IDLE: Duration = Duration::from_secs(20);

/// A transfer moves if so much is sent or received while nothing may stand still: less is as bad as nothing. What is
/// sent goes out in pieces of this size.
pub(super) const LEAST_BYTES: usize = 64 << 10;

/// One HTTP/1.1 client with keep-alive. Certificates that the system trusts are only read for https.
#[derive(Clone, Debug)]
pub(crate) struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    timeouts: Timeouts,
    roots: Option<RootCertStore>,
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
    exhaustion: Exhaustion,
}

/// One request as it goes out.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: PutPayload,
    pub(crate) pace: Pace,
}

/// What shows that an answer's body moves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Pace {
    /// Its bytes, at more than a trickle.
    #[default]
    Data,
    /// Each byte: blanks keep the connection alive until the server has done the work and reports.
    Report,
}

/// An answer whose body is still to come.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: BoxStream<'static, Result<Bytes, Broken>>,
}

/// The reason for a missing or incomplete answer, without the URL, which the caller knows.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// No connection could be made to this scheme, host and port.
    #[error("no connection")]
    Unreachable { server: String, source: Box<dyn StdError + Send + Sync> },
    #[error("the connection failed")]
    Connection(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the server's certificate isn't trusted; give the authority's certificate with OS_CACERT")]
    Untrusted(#[source] Box<dyn StdError + Send + Sync>),
    #[error("no progress for {:.0} s", .0.as_secs_f64())]
    Stalled(Duration),
    #[error("{server} doesn't speak TLS; use http:// for it, or the port where it speaks https")]
    NotTls { server: String },
    #[error("{server} doesn't speak plain HTTP; use https:// for it, if it speaks TLS")]
    NotHttp { server: String },
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    #[error("TLS can't be set up; give the authority's certificate with OS_CACERT")]
    Tls(#[source] Box<dyn StdError + Send + Sync>),
}

impl Http {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let roots = config.ca_file.as_deref().map(read_roots).transpose()?;
        let timeouts = config.timeouts;
        Ok(Self(Arc::new(Inner {
            timeouts,
            roots,
            plain: OnceLock::new(),
            tls: OnceLock::new(),
            exhaustion: Exhaustion::default(),
        })))
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.0.timeouts
    }

    /// Whether a request has just failed for as long as it may.
    pub(crate) fn exhaustion(&self) -> &Exhaustion {
        &self.0.exhaustion
    }

    /// One try. Its answer begins, and its body goes on, within `silence` of the last byte sent or received.
    pub(crate) async fn send(&self, outgoing: Outgoing, silence: Duration) -> Result<Answer, Broken> {
        let Outgoing { method, url, headers, body, pace } = outgoing;
        let (activity, trace) = (Activity::default(), Trace::new(&method, &url));
        let client = self.client(&url)?;
        let sends = matches!(method, Method::PUT | Method::POST);
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        if sends && body.content_length() == 0 {
            // Swift insists on a length, and the HTTP client leaves that of nothing out.
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.body_mut() = Some(Body::wrap(Upload::new(body, activity.clone())));
        let response = tokio::select! {
            response = client.execute(request) => response.map_err(Broken::connection),
            () = activity.ceases_for(silence) => Err(Broken::Stalled(silence)),
        };
        let response = response.inspect_err(|broken| trace.failed(broken))?;
        trace.answered(response.status(), response.headers());
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: Watched::new(response.bytes_stream().boxed(), silence, pace).into_stream(),
        })
    }

    fn client(&self, url: &Url) -> Result<&reqwest::Client, Broken> {
        let https = url.scheme() == "https";
        let cell = if https { &self.0.tls } else { &self.0.plain };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = self.0.build(https)?;
        Ok(cell.get_or_init(|| client))
    }
}

impl Answer {
    /// The complete body, which must not be longer than `limit` bytes.
    pub(crate) async fn bytes(self, limit: usize) -> Result<Bytes, Broken> {
        whole(self.body, limit).await?.ok_or(Broken::TooLong(limit))
    }
}

/// A complete body; none if it is longer than `limit` bytes.
pub(super) async fn whole<E>(
    mut body: BoxStream<'static, Result<Bytes, E>>,
    limit: usize,
) -> Result<Option<Bytes>, E> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.try_next().await? {
        if whole.len() + chunk.len() > limit {
            return Ok(None);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(Some(whole.freeze()))
}

impl Inner {
    fn build(&self, https: bool) -> Result<reqwest::Client, Broken> {
        let builder = reqwest::Client::builder();
        // The kernel would end a connection whose server is busy for half a minute. How long that may be is for
        // `Timeouts` to say.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(None);
        builder
            .tls_backend_preconfigured(self.tls(https).map_err(|error| Broken::Tls(error.into()))?)
            .http1_only()
            .connect_timeout(self.timeouts.connect)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            // A redirect would carry the token to wherever it leads.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Broken::connection)
    }

    fn tls(&self, https: bool) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.roots {
            Some(roots) => builder.with_root_certificates(roots.clone()),
            None if https => builder.with_platform_verifier()?,
            None => builder.with_root_certificates(RootCertStore::empty()),
        };
        Ok(builder.with_no_client_auth())
    }
}

impl Broken {
    pub(super) fn connection(error: reqwest::Error) -> Self {
        let source: Box<dyn StdError + Send + Sync> = first_cause(&error).to_string().into();
        let server = error.url().map(|url| url.origin().ascii_serialization());
        match (tls_error(&error), server) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => Self::Untrusted(source),
            // What came first was no TLS at all.
            (Some(rustls::Error::InvalidMessage(_)), Some(server)) if error.is_connect() => {
                Self::NotTls { server }
            }
            (None, Some(server)) if is_not_http(&*source) => Self::NotHttp { server },
            (_, Some(server)) if error.is_connect() => Self::Unreachable { server, source },
            _ => Self::Connection(source),
        }
    }

    /// How long nothing had moved when it broke.
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

impl From<Broken> for Kind {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Stalled(silence) => Self::Stalled(silence),
            Broken::TooLong(limit) => Self::TooLong { limit },
            Broken::Unreachable { server, source } => Self::Unreachable { server, source },
            Broken::Connection(error) => Self::Connection(error),
            tls
            @ (Broken::Untrusted(_) | Broken::Tls(_) | Broken::NotTls { .. } | Broken::NotHttp { .. }) => {
                Self::Connection(tls.into())
            }
        }
    }
}

/// The error at the end of the chain. Those before it say in several ways that a request failed.
fn first_cause(error: &reqwest::Error) -> &(dyn StdError + 'static) {
    let mut cause: &(dyn StdError + 'static) = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause
}

/// What TLS says of it, if that is the reason.
fn tls_error(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        // The source of an I/O error is the source of what it wraps: what it wraps has to be asked for.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let tls = wrapped.and_then(|error| error.downcast_ref()).or_else(|| error.downcast_ref());
        if tls.is_some() {
            return tls;
        }
        next = wrapped.map(|error| error as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

/// Whether what came isn't an answer of HTTP, as from a server that waits for TLS. The HTTP client says so in words only.
fn is_not_http(cause: &(dyn StdError + Send + Sync)) -> bool {
    cause.to_string().contains("invalid HTTP version")
}

/// The certificates that `OS_CACERT` names; then no others are trusted.
fn read_roots(path: &Path) -> Result<RootCertStore, ConfigError> {
    let pem = read_regular_file(path, MOST_BYTES_OF_ROOTS)
        .map_err(|error| ConfigError::file(path, format!("{error}; check OS_CACERT")))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let added = certificate.map_err(|error| error.to_string());
        let added = added.and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()));
        added.map_err(|problem| ConfigError::file(path, problem))?;
    }
    if roots.is_empty() {
        return Err(ConfigError::file(path, "there is no certificate in PEM form in it"));
    }
    Ok(roots)
}
