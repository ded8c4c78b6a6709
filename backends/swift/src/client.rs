//! The client of one account: endpoint, token, retries, limits. Every request of the store goes through
//! [`Client::send`].

mod dates;
mod limits;
#[cfg(test)]
pub(crate) mod live;
mod request;
mod response;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tls;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use futures::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};
use url::Url;

use self::{dates::Dates, limits::Unanswered};
pub(crate) use self::{
    request::{PATH, Request},
    response::{Origin, REPORT_LIMIT, Response, rejected},
};
use crate::{
    auth::{AuthError, Authenticator, Session},
    config::{Config, ConfigError},
    dialect::Dialect,
    error::{Error, Kind},
    retry::{Failure, Outcome, Token, Tries, Trouble, Verdict, classify},
    transport::{Answer, Http, Outgoing, redirection},
};

/// The header that names the source of a copy.
pub(crate) const COPY_FROM: HeaderName = HeaderName::from_static("x-copy-from");

const TOKEN: &str = "x-auth-token";
const TRANS_ID: &str = "x-trans-id";

/// How many times the usual limit a copy inside the cluster may be silent: nothing is sent until it is done, and 5 GiB
/// take time.
const COPY_PATIENCE: u32 = 10;

/// The client of one account. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    http: Http,
    auth: Authenticator,
    dialect: Dialect,
    unanswered: Unanswered,
    dates: Dates,
}

impl Client {
    /// Creates the client; no request is sent yet.
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        let (http, dialect) = (Http::new(&config)?, Dialect::new(&config)?);
        let auth = Authenticator::new(config, http.clone())?;
        let (unanswered, dates) = (Unanswered::default(), Dates::default());
        Ok(Self(Arc::new(Inner { http, auth, dialect, unanswered, dates })))
    }

    /// Sends a request, with a token and retries. A status below 500 other than 401, 408, 429 and 498 is returned as a
    /// response, for the caller to judge.
    ///
    /// Any failed try may be repeated, so the request must be idempotent.
    pub(crate) async fn send(&self, request: Request) -> Result<Response, Error> {
        let Inner { http, auth, .. } = &*self.0;
        let mut origin = Origin::new(&request);
        let trouble = &request.trouble;
        let (budget, patience) = http.exhaustion().limit(self.budget(&request), self.patience(&request));
        let mut tries = Tries::new(budget, trouble).with_patience(patience);
        let mut token = if auth.is_renewable() { Token::Renewable } else { Token::Fixed };
        let mut session = auth.session(trouble).await.map_err(|error| origin.error(Kind::Auth(error)))?;
        loop {
            let outcome = self.attempt(&request, &session, &mut origin, token, tries.patience()).await;
            if leads_nowhere(&outcome)
                && let Some(moved) = auth.relocated(&session).await
            {
                session = moved;
                continue;
            }
            let failure = match outcome {
                Ok(response) => return Ok(response),
                Err(failure) => failure,
            };
            let is_refused = failure.error.kind().is_refused_token();
            if failure.verdict == Verdict::Renew {
                token = Token::Renewed;
            }
            if let Err(error) = tries.again(failure).await {
                if tries.is_exhausted() {
                    http.exhaustion().note();
                }
                return Err(error);
            }
            let next =
                if is_refused { auth.renew(&session, trouble).await } else { auth.session(trouble).await };
            session = next.map_err(|error| {
                let error = origin.error(Kind::Auth(error));
                let idle = error.kind().idle();
                tries.telling(error, idle)
            })?;
        }
    }

    /// Makes one try.
    async fn attempt(
        &self,
        request: &Request,
        session: &Session,
        origin: &mut Origin,
        token: Token,
        patience: Duration,
    ) -> Result<Response, Failure<Error>> {
        let outgoing =
            outgoing(request, session).map_err(|kind| Failure::judged(origin.error(kind), Verdict::Fail))?;
        origin.tries += 1;
        let url = outgoing.url.clone();
        let answer = self.0.http.send(outgoing, patience).await.map_err(|broken| {
            origin.trans_id = None;
            origin.broken(broken, token)
        })?;
        origin.trans_id = text(&answer.headers, TRANS_ID).map(str::to_owned);
        if let Some(to) = elsewhere(&answer, &url, &session.storage_url) {
            let error = origin.error(Kind::Redirected { status: answer.status, to });
            return Err(Failure::judged(error, Verdict::Fail));
        }
        match classify(Outcome::Answered(answer.status), token) {
            Verdict::Answer => {
                self.0.dates.note(&answer.headers, Instant::now());
                self.0.dialect.note(&answer.headers);
                self.0.http.exhaustion().clear();
                Ok(Response::new(origin.clone(), answer, &request.trouble))
            }
            verdict => {
                let error = origin.error(Kind::answer(answer.status));
                Err(Failure { asked: retry_after(&answer.headers), ..Failure::judged(error, verdict) })
            }
        }
    }

    /// The servers' time, to the second, according to a response of the last seconds; None if there was none.
    pub(crate) fn server_time(&self) -> Option<SystemTime> {
        self.0.dates.time_at(Instant::now())
    }

    /// What the cluster can do.
    pub(crate) fn dialect(&self) -> &Dialect {
        &self.0.dialect
    }

    /// The tries of a request in addition to those that [`send`](Self::send) makes, within the same time limit.
    pub(crate) fn tries<E: std::error::Error + Send + Sync + 'static>(&self, request: &Request) -> Tries<E> {
        Tries::new(self.budget(request), &request.trouble)
    }

    /// The time that is left for all tries of a request.
    pub(crate) fn left(&self, request: &Request) -> Duration {
        request.trouble.left(self.budget(request))
    }

    /// Returns the current session, or a new one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, Arc<AuthError>> {
        self.0.auth.session(&Trouble::default()).await
    }

    /// Replaces the token by one that Swift refuses.
    #[cfg(test)]
    pub(crate) async fn spoil_token(&self) {
        let session = Session::clone(&*self.session().await.unwrap());
        self.resume(Session { token: crate::secret::Secret::new("expired"), ..session }).await;
    }

    /// Uses this session from now on.
    #[cfg(test)]
    pub(crate) async fn resume(&self, session: Session) {
        self.0.auth.resume(session).await;
    }

    fn patience(&self, request: &Request) -> Duration {
        let silence = self.0.http.timeouts().silence;
        if request.headers.contains_key(COPY_FROM) { silence * COPY_PATIENCE } else { silence }
    }

    /// How long the request may make no progress in total: the time for retries, but at least the permitted silence of
    /// a copy.
    fn budget(&self, request: &Request) -> Duration {
        let retry = self.0.http.timeouts().retry;
        let is_copy = request.headers.contains_key(COPY_FROM) && !retry.is_zero();
        if is_copy { retry.max(self.patience(request)) } else { retry }
    }
}

/// Whether there may be no such server any more, or one that doesn't serve this scheme or host: servers with TLS answer
/// a request without it with 400.
fn leads_nowhere(outcome: &Result<Response, Failure<Error>>) -> bool {
    match outcome {
        Ok(response) => matches!(response.status.as_u16(), 400 | 421),
        Err(failure) => failure.error.kind().leads_nowhere(),
    }
}

/// The address that a response redirects to: that of the account, if the rest of the path is the same there.
fn elsewhere(answer: &Answer, url: &Url, account: &Url) -> Option<String> {
    if !matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let mut to = redirection(url, &answer.headers)?;
    let path = url.path().strip_prefix(account.path());
    if let Some(base) = path.and_then(|path| to.path().strip_suffix(path)).map(str::to_owned) {
        to.set_path(&base);
        to.set_query(None);
    }
    Some(to.to_string())
}

/// The HTTP request, with the session's token.
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

/// The value of `Retry-After` in seconds. Servers in front of Swift don't use the form with a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, RETRY_AFTER.as_str())?.parse().ok().map(Duration::from_secs)
}
