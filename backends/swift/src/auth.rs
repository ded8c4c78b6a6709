mod ask;
mod cache;
mod catalog;
mod error;
mod reply;
mod session;

use std::{fmt, sync::Arc};

use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::Mutex;

pub use self::error::AuthError;
pub(crate) use self::session::Session;
use self::{ask::Ask, cache::TokenCache, reply::Reply};
use crate::{
    Config, ConfigError,
    client::Http,
    clock,
    config::{Credentials, Endpoint},
    retry::{Outcome, Token, Tries, Verdict, classify},
};

/// Has a token when one is needed: from memory, from disk, or from the identity service, one renewal at a time.
pub(crate) struct Authenticator {
    http: Http,
    credentials: Credentials,
    endpoint: Endpoint,
    /// None for a token that was given.
    ask: Option<Ask>,
    cache: Option<TokenCache>,
    current: Mutex<Option<Arc<Session>>>,
}

impl Authenticator {
    pub(crate) fn new(config: Config, http: Http) -> Result<Self, ConfigError> {
        let Config { credentials, endpoint, token_cache, .. } = config;
        let ask = Ask::new(&credentials)?;
        let key = ask.as_ref().map(|ask| ask.key(&endpoint));
        let cache = token_cache.zip(key).map(|(directory, key)| TokenCache::new(directory, &key));
        Ok(Self { http, credentials, endpoint, ask, cache, current: Mutex::new(None) })
    }

    /// A session that is good for some time yet.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, AuthError> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| session.is_fresh(clock::now())) {
            return Ok(Arc::clone(session));
        }
        let stored = self.cache.as_ref().and_then(TokenCache::load);
        let session = match stored.filter(|session| session.is_fresh(clock::now())) {
            Some(session) => session,
            None => self.authenticate().await?,
        };
        Ok(Arc::clone(current.insert(Arc::new(session))))
    }

    /// A session other than the one that Swift refused. Of all who come with the same, one asks for it.
    pub(crate) async fn renew(&self, refused: &Arc<Session>) -> Result<Arc<Session>, AuthError> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !Arc::ptr_eq(session, refused)) {
            return Ok(Arc::clone(session));
        }
        // Another process may have been here first.
        let stored = self.cache.as_ref().and_then(TokenCache::load);
        let others = stored.filter(|stored| stored.token != refused.token && stored.is_fresh(clock::now()));
        let session = match others {
            Some(session) => session,
            None => self.authenticate().await?,
        };
        Ok(Arc::clone(current.insert(Arc::new(session))))
    }

    /// Whether another token can be had for these credentials.
    pub(crate) fn is_renewable(&self) -> bool {
        self.ask.is_some()
    }

    async fn authenticate(&self) -> Result<Session, AuthError> {
        let Some(ask) = &self.ask else { return self.fixed() };
        tracing::debug!(url = %ask.url(), "asking for a token");
        let reply = self.exchange(ask).await?;
        let session = reply.session(&self.credentials, &self.endpoint, clock::now())?;
        if let Some(cache) = &self.cache {
            cache.store(&session);
        }
        Ok(session)
    }

    /// The session of a token that came with its storage URL.
    fn fixed(&self) -> Result<Session, AuthError> {
        match (&self.credentials, &self.endpoint.storage_url) {
            (Credentials::Token(token), Some(url)) => {
                Ok(Session { token: token.clone(), storage_url: url.clone(), renew_at: Timestamp::MAX })
            }
            _ => Err(AuthError::NoEndpoint { wanted: "object-store".to_owned(), known: Vec::new() }),
        }
    }

    /// Asks until there is an answer or no more time.
    async fn exchange(&self, ask: &Ask) -> Result<Reply, AuthError> {
        let timeouts = self.http.timeouts();
        let mut tries = Tries::new(timeouts.retry);
        loop {
            let outcome = match self.http.send(ask.request(), timeouts.silence).await {
                Ok(answer) => Reply::read(ask.url(), answer).await,
                Err(broken) => Err(broken),
            };
            let (verdict, failure) = match outcome {
                // To these credentials, since no token was sent.
                Ok(reply) if reply.status == StatusCode::UNAUTHORIZED => return Ok(reply),
                Ok(reply) => match classify(Outcome::Answered(reply.status), Token::Fixed) {
                    Verdict::Answer => return Ok(reply),
                    verdict => (verdict, AuthError::unavailable(ask.url(), reply.status)),
                },
                Err(broken) => {
                    (classify(broken.outcome(), Token::Fixed), AuthError::unreachable(ask.url(), broken))
                }
            };
            if verdict != Verdict::Retry || !tries.again(None).await {
                return Err(failure);
            }
            tracing::warn!(url = %ask.url(), error = %failure, "no token yet, asking again");
        }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
