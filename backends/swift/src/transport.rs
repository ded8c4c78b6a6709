//! HTTP exchanges, below authentication and retries: one try each, with time limits.
//!
//! [`Http`] opens connections (TLS with the system's certificates, or those of `OS_CACERT`; directly, or through the
//! proxy that the environment names), sends a request and returns the response before its body is read. A transfer
//! without progress, in either direction, ends with [`Broken::Stalled`]. The client and the authentication use this module, which knows neither tokens nor Swift.

mod broken;
mod distrust;
mod proxy_status;
mod root_check;
mod roots;
mod trace;
mod upload_body;
mod verifier;
mod watched;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use object_store::PutPayload;
use reqwest::Body;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_platform_verifier::BuilderVerifierExt;
use url::Url;

pub(crate) use self::broken::Broken;
use self::{
    roots::read_roots,
    trace::Trace,
    upload_body::{Activity, UploadBody},
    verifier::{Roots, RootsVerifier},
    watched::Watched,
};
use crate::{
    config::{Config, ConfigError, Proxies, Proxy, Timeouts},
    retry::Exhaustion,
};

/// How long an idle connection is kept. Servers and load balancers close them after a minute or less, and a request on
/// a connection that is being closed fails.
const IDLE: Duration = Duration::from_secs(20);

/// The number of bytes that counts as progress within the permitted silence. Requests are sent in pieces of this size.
pub(super) const LEAST_BYTES: usize = 64 << 10;

/// An HTTP/1.1 client with keep-alive. It reads the system's certificates only for TLS.
#[derive(Clone, Debug)]
pub(crate) struct Http(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    timeouts: Timeouts,
    /// Those of `OS_CACERT`.
    roots: Option<Arc<Roots>>,
    proxies: Proxies,
    plain: OnceLock<reqwest::Client>,
    tls: OnceLock<reqwest::Client>,
    exhaustion: Exhaustion,
}

/// One request as it is sent.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: PutPayload,
    pub(crate) pace: Pace,
}

/// What counts as progress while a response's body is read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Pace {
    /// [`LEAST_BYTES`] bytes.
    #[default]
    Data,
    /// Any byte: blanks keep the connection alive until the server has finished the work and sends the report.
    Report,
}

/// A response whose body hasn't been read yet.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: BoxStream<'static, Result<Bytes, Broken>>,
}

impl Http {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let roots = config.ca_file.as_deref().map(read_roots).transpose()?.map(Arc::new);
        let proxies = config.proxies.clone().unwrap_or_else(Proxies::of_environment);
        let timeouts = config.timeouts;
        Ok(Self(Arc::new(Inner {
            timeouts,
            roots,
            proxies,
            plain: OnceLock::new(),
            tls: OnceLock::new(),
            exhaustion: Exhaustion::default(),
        })))
    }

    pub(crate) fn timeouts(&self) -> Timeouts {
        self.0.timeouts
    }

    /// Whether a request has recently used up its time for retries.
    pub(crate) fn exhaustion(&self) -> &Exhaustion {
        &self.0.exhaustion
    }

    /// Makes one try. The response must begin, and its body continue, within `silence` after the last byte that was
    /// sent or received.
    pub(crate) async fn send(&self, outgoing: Outgoing, silence: Duration) -> Result<Answer, Broken> {
        let Outgoing { method, url, headers, body, pace } = outgoing;
        let (activity, trace) = (Activity::default(), Trace::new(&method, &url));
        let Inner { proxies, roots, .. } = &*self.0;
        let proxy = proxies.of(&url);
        if let Some(proxy) = proxy.filter(|proxy| proxy.url.is_none()) {
            return Err(Broken::unusable_proxy(proxy));
        }
        let client = self.client(needs_tls(&url, proxy))?;
        let sends = matches!(method, Method::PUT | Method::POST);
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        if sends && body.content_length() == 0 {
            // Swift requires a length, which the HTTP client omits for an empty body.
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.body_mut() = Some(Body::wrap(UploadBody::new(body, activity.clone())));
        let response = tokio::select! {
            response = client.execute(request) => {
                response.map_err(|error| Broken::connection(error, proxy, roots.is_some()))
            }
            () = activity.ceases_for(silence) => Err(Broken::Stalled(silence)),
        };
        let response = response.inspect_err(|broken| trace.failed(broken))?;
        trace.answered(response.status(), response.headers());
        if let Some(proxy) = proxy.filter(|_| is_of_proxy(&response)) {
            return Err(Broken::answer_of_proxy(proxy, response.status()));
        }
        Ok(Answer {
            status: response.status(),
            headers: response.headers().clone(),
            body: Watched::new(response.bytes_stream().boxed(), silence, pace).into_stream(),
        })
    }

    fn client(&self, needs_tls: bool) -> Result<&reqwest::Client, Broken> {
        let cell = if needs_tls { &self.0.tls } else { &self.0.plain };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = self.0.build(needs_tls)?;
        Ok(cell.get_or_init(|| client))
    }
}

/// Whether a certificate is checked: that of the server, or that of the proxy.
fn needs_tls(url: &Url, proxy: Option<&Proxy>) -> bool {
    let proxy = proxy.and_then(|proxy| proxy.url.as_ref());
    url.scheme() == "https" || proxy.is_some_and(|proxy| proxy.scheme() == "https")
}

/// The URL that a response to a request to `url` refers to, if it is a valid one.
pub(crate) fn redirection(url: &Url, headers: &HeaderMap) -> Option<Url> {
    url.join(headers.get(header::LOCATION)?.to_str().ok()?).ok()
}

impl Answer {
    /// Reads the complete body, which must not be longer than `limit` bytes.
    pub(crate) async fn bytes(self, limit: usize) -> Result<Bytes, Broken> {
        whole(self.body, limit).await?.ok_or(Broken::TooLong(limit))
    }
}

/// Reads a complete body; None if it is longer than `limit` bytes.
pub(crate) async fn whole<E>(
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

/// Whether a response that came through a proxy is the proxy's own: it asks for a password, or it is a refusal (403) or a
/// failure that the proxy reports in a header of RFC 9209 or of Squid. Other answers may be those of a gateway of the
/// storage, and mean something to the client. What comes through a tunnel to a server with TLS is the server's.
fn is_of_proxy(response: &reqwest::Response) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let reports_an_error =
        || headers.contains_key("x-squid-error") || proxy_status::reports_an_error(headers);
    let may_be_its_own = status == StatusCode::FORBIDDEN || status.is_server_error();
    response.url().scheme() == "http"
        && (status == StatusCode::PROXY_AUTHENTICATION_REQUIRED || may_be_its_own && reports_an_error())
}

impl Inner {
    fn build(&self, needs_tls: bool) -> Result<reqwest::Client, Broken> {
        let builder = reqwest::Client::builder();
        // The kernel would close a connection whose server is busy for half a minute. `Timeouts` sets the limit
        // instead.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(None);
        let proxies = self.proxies.clone();
        builder
            .tls_backend_preconfigured(self.tls(needs_tls).map_err(|error| Broken::Tls(error.into()))?)
            .http1_only()
            .connect_timeout(self.timeouts.connect)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            // A redirect would send the token to another server.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .proxy(reqwest::Proxy::custom(move |url| proxies.of(url)?.url.clone()))
            .build()
            .map_err(|error| Broken::connection(error, None, self.roots.is_some()))
    }

    fn tls(&self, needs_tls: bool) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.roots {
            Some(roots) => {
                let verifier = RootsVerifier::new(roots, &provider);
                builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            None if needs_tls => builder.with_platform_verifier()?,
            None => builder.with_root_certificates(RootCertStore::empty()),
        };
        Ok(builder.with_no_client_auth())
    }
}
