mod dates;
mod http;
mod info;
#[cfg(test)]
pub(crate) mod live;
mod request;
mod response;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tls;
mod trace;
mod upload;
mod watched;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use ::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::RETRY_AFTER};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OnceCell;

use self::dates::Dates;
pub(crate) use self::{
    http::{Answer, Broken, Http, Outgoing, Pace},
    info::Info,
    request::{PATH, Request},
    response::{Origin, Response},
};
use crate::{
    AuthError, Config, ConfigError, Error, Kind,
    auth::{Authenticator, Session},
    retry::{Outcome, Token, Tries, Trouble, Verdict, classify},
};

/// Where a PUT has its content from, instead of a body.
pub(crate) const COPY_FROM: HeaderName = HeaderName::from_static("x-copy-from");

const TOKEN: &str = "x-auth-token";
const TRANS_ID: &str = "x-trans-id";

/// `/info` of a cluster with everything switched on has some ten KiB.
const MOST_INFO_BYTES: usize = 1 << 20;

/// A copy inside the cluster is silent until it is done: 5 GiB take their time.
const COPY_PATIENCE: u32 = 10;

/// One account of Swift: endpoint, token, retries. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: Http,
    auth: Authenticator,
    info: OnceCell<Info>,
    dates: Dates,
}

impl Client {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let http = Http::new(&config)?;
        let auth = Authenticator::new(config, http.clone())?;
        Ok(Self(Arc::new(Inner { http, auth, info: OnceCell::new(), dates: Dates::default() })))
    }

    /// Sends it, with token and retries. Any status below 500 other than 401, 408, 429 and 498 comes back as a
    /// response, for the caller to judge.
    ///
    /// The request is sent again whatever became of it, so it must be one that may be: what it leaves behind when
    /// it is done twice is what it leaves behind when it is done once.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, Error> {
        let Inner { http, auth, .. } = &*self.0;
        let mut origin = Origin::new(&request);
        let trouble = &request.trouble;
        let (budget, patience) = http.exhaustion().limit(self.budget(&request), self.patience(&request));
        let mut tries = Tries::new(budget, trouble);
        let mut before: Option<Error> = None;
        let mut token = if auth.is_renewable() { Token::Renewable } else { Token::Fixed };
        let mut session = auth.session(trouble).await.map_err(|error| origin.error(Kind::Auth(error)))?;
        loop {
            let outgoing = outgoing(&request, &session).map_err(|kind| origin.error(kind))?;
            origin.tries += 1;
            let (verdict, asked, kind) = match http.send(outgoing, tries.patience(patience)).await {
                Ok(answer) => {
                    origin.trans_id = text(&answer.headers, TRANS_ID).map(str::to_owned);
                    match classify(Outcome::Answered(answer.status), token) {
                        Verdict::Answer => {
                            self.0.dates.note(&answer.headers, Instant::now());
                            http.exhaustion().clear();
                            return Ok(Response::new(origin, answer, trouble));
                        }
                        verdict => (verdict, retry_after(&answer.headers), Kind::answer(answer.status)),
                    }
                }
                Err(broken) => {
                    origin.trans_id = None;
                    (classify(broken.outcome(), token), None, broken.into())
                }
            };
            let (idle, is_refused) = (kind.idle(), kind.is_refused_token());
            let error = match before.take() {
                Some(before) if tries.is_cut_short(idle, patience) => before,
                _ => origin.error(kind),
            };
            if verdict == Verdict::Renew {
                tracing::debug!(%error, "the token is refused, asking for another");
                token = Token::Renewed;
            } else if verdict != Verdict::Retry {
                return Err(error);
            } else if !tries.again(idle, asked, &error).await {
                http.exhaustion().note();
                return Err(error);
            }
            let next =
                if is_refused { auth.renew(&session, trouble).await } else { auth.session(trouble).await };
            session = next.map_err(|error| origin.error(Kind::Auth(error)))?;
            before = Some(error);
        }
    }

    /// The servers' time, to the second, as an answer of a moment ago told it; none if there was no such answer.
    pub(crate) fn server_time(&self) -> Option<SystemTime> {
        self.0.dates.time_at(Instant::now())
    }

    /// What `/info` says of the cluster's limits; asked once, then remembered. A cluster that doesn't tell (some
    /// operators switch it off) is taken to have Swift's defaults.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        self.0.info.get_or_try_init(|| self.ask_info()).await.cloned()
    }

    /// As above, if it was requested before.
    pub(crate) fn known_info(&self) -> Option<&Info> {
        self.0.info.get()
    }

    async fn ask_info(&self) -> Result<Info, Error> {
        let Inner { http, auth, .. } = &*self.0;
        let mut origin = Origin { method: Method::GET, target: "/info".to_owned(), tries: 0, trans_id: None };
        let trouble = Trouble::default();
        let session = auth.session(&trouble).await.map_err(|error| origin.error(Kind::Auth(error)))?;
        let url = Info::url(&session.storage_url);
        let mut tries = Tries::new(http.timeouts().retry, &trouble);
        let mut before: Option<Error> = None;
        loop {
            let outgoing = Outgoing {
                method: Method::GET,
                url: url.clone(),
                headers: HeaderMap::new(),
                body: object_store::PutPayload::new(),
                pace: Pace::Data,
            };
            origin.tries += 1;
            let patience = http.timeouts().silence;
            let (verdict, kind): (_, Kind) = match http.send(outgoing, tries.patience(patience)).await {
                Ok(answer) if answer.status == StatusCode::OK => match answer.bytes(MOST_INFO_BYTES).await {
                    Ok(body) => return Ok(Info::parse(&body).unwrap_or_default()),
                    Err(broken) => (classify(broken.outcome(), Token::Fixed), broken.into()),
                },
                Ok(answer) => match classify(Outcome::Answered(answer.status), Token::Fixed) {
                    Verdict::Retry => (Verdict::Retry, Kind::answer(answer.status)),
                    _ => return Ok(Info::default()),
                },
                Err(broken) => (classify(broken.outcome(), Token::Fixed), broken.into()),
            };
            let idle = kind.idle();
            let error = match before.take() {
                Some(before) if tries.is_cut_short(idle, patience) => before,
                _ => origin.error(kind),
            };
            if verdict != Verdict::Retry || !tries.again(idle, None, &error).await {
                return Err(error);
            }
            before = Some(error);
        }
    }

    /// The tries of a request beyond those that [`send`](Self::send) makes, under the one bound for both.
    pub(crate) fn tries(&self, request: &Request) -> Tries {
        Tries::new(self.budget(request), &request.trouble)
    }

    /// The session at hand, or a new one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Arc<AuthError>> {
        self.0.auth.session(&Trouble::default()).await
    }

    /// Makes the token one that Swift refuses.
    #[cfg(test)]
    pub(crate) async fn spoil_token(&self) {
        let session = Session::clone(&*self.session().await.unwrap());
        self.resume(Session { token: crate::Secret::new("expired"), ..session }).await;
    }

    /// Goes on with this session.
    #[cfg(test)]
    pub(crate) async fn resume(&self, session: Session) {
        self.0.auth.resume(session).await;
    }

    fn patience(&self, request: &Request) -> Duration {
        let silence = self.0.http.timeouts().silence;
        if request.headers.contains_key(COPY_FROM) { silence * COPY_PATIENCE } else { silence }
    }

    /// How long it may get nowhere in all: the time for retries, and in any case the silence of a copy.
    fn budget(&self, request: &Request) -> Duration {
        let retry = self.0.http.timeouts().retry;
        let is_copy = request.headers.contains_key(COPY_FROM) && !retry.is_zero();
        if is_copy { retry.max(self.patience(request)) } else { retry }
    }
}

/// The request as it goes out under this session.
fn outgoing(request: &Request, session: &Session) -> Result<Outgoing, Kind> {
    let mut headers = request.headers.clone();
    let token = HeaderValue::from_bytes(session.token.expose().as_bytes());
    let mut token = token.map_err(|_| Kind::InvalidInput { what: "token" })?;
    token.set_sensitive(true);
    headers.insert(TOKEN, token);
    Ok(Outgoing {
        method: request.method.clone(),
        url: request.url(&session.storage_url).ok_or(Kind::InvalidInput { what: "name" })?,
        headers,
        body: request.body.clone(),
        pace: request.pace(),
    })
}

impl Response {
    fn new(origin: Origin, answer: Answer, trouble: &Trouble) -> Self {
        let Answer { status, headers, body } = answer;
        let of_body = origin.clone();
        let body = body.map_err(move |broken| of_body.error(broken.into())).boxed();
        Self { status, headers, request: origin, body, trouble: trouble.clone() }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// In seconds; the form with a date is not used by what stands before Swift.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs)
}
