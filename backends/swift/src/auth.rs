//! Tokens: from memory, from the token cache on disk, or from the identity service (v1, v2.0, v3).
//!
//! The client asks [`Authenticator`] for a [`Session`] before each request, and for another one when Swift refuses the
//! token. Only one request to the identity service is in progress at a time. While the service is down, a token that
//! hasn't expired remains in use.

mod ask;
mod cache;
mod catalog;
mod error;
mod lenient;
mod reply;
mod session;

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::Mutex;

use self::ask::fingerprint;
pub use self::error::AuthError;
#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub use self::reply::fuzz::catalog;
pub(crate) use self::session::Session;
use self::{ask::Ask, cache::TokenCache, reply::Reply};
use crate::{
    clock,
    config::{Config, ConfigError, Credentials, Endpoint},
    retry::{Failure, Outcome, Token, Tries, Trouble, Verdict, classify},
    transport::{Broken, Http},
};

/// Supplies tokens: from memory, from disk, or from the identity service, with one renewal at a time.
pub(crate) struct Authenticator {
    http: Http,
    credentials: Credentials,
    endpoint: Endpoint,
    /// None if the user gave a token, which can't be renewed.
    ask: Option<Ask>,
    cache: Option<TokenCache>,
    /// The number of failed requests to the identity service.
    failures: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// Until this time the session is used although it should be renewed: the identity service couldn't supply another.
    postponed: Option<Timestamp>,
    /// The most recent failure.
    failure: Option<Arc<AuthError>>,
}

impl Authenticator {
    pub(crate) fn new(config: Config, http: Http) -> Result<Self, ConfigError> {
        let Config { credentials, endpoint, token_cache, .. } = config;
        let ask = Ask::new(&credentials)?;
        // The password is part of the key: different credentials must not get this token.
        let key = fingerprint(&credentials, &endpoint)?;
        let directory = token_cache.filter(|_| ask.is_some());
        let cache = directory.map(|directory| TokenCache::new(directory, &key));
        Ok(Self {
            http,
            credentials,
            endpoint,
            ask,
            cache,
            failures: AtomicU64::new(0),
            state: Mutex::default(),
        })
    }

    /// Returns a session that needn't be renewed yet or, while the identity service is down, one that hasn't expired.
    ///
    /// Waiting counts against the time limit of the request that needs the session, whose `trouble` is passed.
    pub(crate) async fn session(&self, trouble: &Trouble) -> Result<Arc<Session>, Arc<AuthError>> {
        self.obtain(None, trouble).await
    }

    /// Returns a session other than the one that Swift refused. If several callers report the same one, one of them
    /// requests another.
    pub(crate) async fn renew(
        &self,
        refused: &Arc<Session>,
        trouble: &Trouble,
    ) -> Result<Arc<Session>, Arc<AuthError>> {
        self.obtain(Some(refused), trouble).await
    }

    /// Requests a session in place of one from the cache whose storage URL leads nowhere: the cluster may have moved
    /// since. None if there is no other URL, or no answer. The identity service is asked once for each cached session.
    pub(crate) async fn relocated(&self, stale: &Arc<Session>) -> Option<Arc<Session>> {
        if !stale.is_cached || self.endpoint.storage_url.is_some() {
            return None;
        }
        let mut state = self.state.lock().await;
        if state.session.as_ref().is_none_or(|session| Arc::ptr_eq(session, stale)) {
            let mut tries =
                Tries::new(Duration::ZERO, &Trouble::default()).with_patience(self.http.timeouts().connect);
            let session = self.authenticate(&mut tries).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "can't find out whether the storage has moved");
                Session { is_cached: false, ..Session::clone(stale) }
            });
            state.session = Some(Arc::new(session));
        }
        let moved = state.session.clone().filter(|session| session.storage_url != stale.storage_url)?;
        tracing::debug!(from = %stale.storage_url, to = %moved.storage_url, "the storage has moved");
        Some(moved)
    }

    /// Returns the session at hand, or requests one from the identity service. Callers that waited meanwhile share its
    /// failure: if each retried in turn, the last of many would wait for hours.
    async fn obtain(
        &self,
        refused: Option<&Arc<Session>>,
        trouble: &Trouble,
    ) -> Result<Arc<Session>, Arc<AuthError>> {
        let seen = self.failures.load(SeqCst);
        let mut state = self.state.lock().await;
        if let Some(session) = self.at_hand(&state, refused) {
            return Ok(Arc::clone(state.session.insert(session)));
        }
        if let Some(failure) = state.failure.as_ref().filter(|_| self.failures.load(SeqCst) != seen) {
            return Err(Arc::clone(failure));
        }
        let alive = refused.is_none().then(|| self.alive(&state)).flatten();
        let timeouts = self.http.timeouts();
        let mut tries = match alive {
            // A caller with a valid session needn't wait for another.
            Some(_) => Tries::new(Duration::ZERO, &Trouble::default()).with_patience(timeouts.connect),
            None => {
                let (budget, silence) = self.http.exhaustion().limit(timeouts.retry, timeouts.silence);
                Tries::new(budget, trouble).with_patience(silence)
            }
        };
        match (self.authenticate(&mut tries).await, alive) {
            (Ok(session), _) => {
                state.postponed = None;
                Ok(Arc::clone(state.session.insert(Arc::new(session))))
            }
            (Err(error), Some(session)) if !error.is_refusal() => {
                let now = clock::now();
                state.postponed = Some(session.postponed(now));
                let left = session.ends_at.duration_since(now).as_secs();
                let error: &(dyn Error + 'static) = &error;
                tracing::warn!(error, "can't renew the token; the current one expires in {left} s");
                Ok(Arc::clone(state.session.insert(session)))
            }
            (Err(error), _) => {
                if error.is_outage() {
                    self.http.exhaustion().note();
                }
                self.failures.fetch_add(1, SeqCst);
                Err(Arc::clone(state.failure.insert(Arc::new(error))))
            }
        }
    }

    /// Returns a session from memory or from disk, where another process may have stored one, that needn't be renewed
    /// yet.
    fn at_hand(&self, state: &State, refused: Option<&Arc<Session>>) -> Option<Arc<Session>> {
        let now = clock::now();
        let is_postponed = state.postponed.is_some_and(|until| now < until);
        let current = state.session.clone().filter(|session| session.is_fresh(now) || is_postponed);
        let current = current.filter(|session| refused.is_none_or(|refused| !Arc::ptr_eq(session, refused)));
        current.or_else(|| {
            let stored = self.cache.as_ref()?.load().filter(|stored| stored.is_fresh(now))?;
            refused.is_none_or(|refused| stored.token != refused.token).then(|| Arc::new(stored))
        })
    }

    /// Returns the session in memory or on disk that expires last, if it hasn't expired.
    fn alive(&self, state: &State) -> Option<Arc<Session>> {
        let stored = self.cache.as_ref().and_then(TokenCache::load).map(Arc::new);
        let sessions = state.session.iter().cloned().chain(stored);
        let now = clock::now();
        sessions.filter(|session| session.is_alive(now)).max_by_key(|session| session.ends_at)
    }

    /// Whether another token can be requested with these credentials.
    pub(crate) fn is_renewable(&self) -> bool {
        self.ask.is_some()
    }

    #[cfg(test)]
    pub(crate) async fn resume(&self, session: Session) {
        self.state.lock().await.session = Some(Arc::new(session));
    }

    async fn authenticate(&self, tries: &mut Tries<AuthError>) -> Result<Session, AuthError> {
        let Some(ask) = &self.ask else { return self.fixed() };
        tracing::debug!(url = %ask.url(), "asking for a token");
        let reply = self.exchange(ask, tries).await?;
        let session = reply.session(&self.credentials, &self.endpoint, clock::now())?;
        if let Some(cache) = &self.cache {
            cache.store(&session);
        }
        Ok(session)
    }

    /// Returns the session of a token that was given with its storage URL.
    fn fixed(&self) -> Result<Session, AuthError> {
        match (&self.credentials, &self.endpoint.storage_url) {
            (Credentials::Token(token), Some(url)) => {
                let (token, storage_url) = (token.clone(), url.clone());
                let end = Timestamp::MAX;
                Ok(Session { token, storage_url, renew_at: end, ends_at: end, is_cached: false })
            }
            _ => Err(AuthError::NoEndpoint { wanted: "object-store".to_owned(), known: Vec::new() }),
        }
    }

    /// Sends the request until it is answered or the time is over.
    async fn exchange(&self, ask: &Ask, tries: &mut Tries<AuthError>) -> Result<Reply, AuthError> {
        loop {
            match self.attempt(ask, tries.patience()).await {
                Ok(reply) => return Ok(reply),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Makes one try.
    async fn attempt(&self, ask: &Ask, patience: Duration) -> Result<Reply, Failure<AuthError>> {
        let is_v1 = self.credentials.is_v1();
        let broken = |broken: Broken| {
            let (idle, verdict) = (broken.idle(), classify(broken.outcome(), Token::Fixed));
            Failure { idle, ..Failure::judged(AuthError::unreachable(ask.url(), is_v1, broken), verdict) }
        };
        let answer = self.http.send(ask.request(), patience).await.map_err(broken)?;
        let reply = Reply::read(ask.url(), answer).await.map_err(broken)?;
        // No token was sent, so a 401 refuses these credentials.
        let verdict = match reply.status {
            StatusCode::UNAUTHORIZED => Verdict::Answer,
            status => classify(Outcome::Answered(status), Token::Fixed),
        };
        match verdict {
            Verdict::Answer => Ok(reply),
            verdict => Err(Failure::judged(AuthError::unavailable(ask.url(), reply.status), verdict)),
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
