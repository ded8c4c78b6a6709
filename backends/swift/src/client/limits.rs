//! The limits of the cluster, from its `/info`.
//!
//! Uploads, deletions and listings ask for them. Some operators disable `/info`, and some balancers don't forward it,
//! refuse it, redirect it, or never answer it. Swift's defaults are assumed then, for the rest of the process: nobody
//! waits for `/info` twice, and the next process asks again.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::Mutex;

use super::{Client, Inner, elsewhere, response::Origin, retry_after};
use crate::{
    auth::Session,
    dialect::{Dialect, Info},
    error::{Error, Kind},
    retry::{Failure, Outcome, Token, Tries, Trouble, Verdict, classify},
    transport::{Outgoing, Pace},
};

/// More than `/info` of a cluster with all features has, which is about ten KiB.
const MOST_BYTES: usize = 1 << 20;

/// How long a single try may be silent.
const ONE_TRY: Duration = Duration::from_secs(5);

/// Whether the cluster has failed to give its limits to this process. It is locked while they are requested, so that
/// they are requested once.
#[derive(Debug, Default)]
pub(super) struct Unanswered(Mutex<bool>);

impl Client {
    /// Returns the cluster's limits, or Swift's defaults if the cluster doesn't give any while a request is retried.
    ///
    /// # Errors
    ///
    /// There is no token.
    pub(crate) async fn info(&self) -> Result<Info, Error> {
        self.info_within(self.0.http.timeouts().retry).await
    }

    /// As [`info`](Self::info), for a caller that must not wait: a single try, and Swift's defaults after any failure.
    pub(crate) async fn info_at_once(&self) -> Result<Info, Error> {
        self.info_within(Duration::ZERO).await
    }

    /// As [`info`](Self::info), after an answer that contradicts the known limits.
    pub(crate) async fn info_anew(&self) -> Result<Info, Error> {
        self.0.dialect.doubt_info();
        self.info().await
    }

    /// As [`info_anew`](Self::info_anew), for a caller that must not wait.
    pub(crate) async fn info_anew_at_once(&self) -> Result<Info, Error> {
        self.0.dialect.doubt_info();
        self.info_at_once().await
    }

    /// As [`info`](Self::info), if it is known.
    pub(crate) fn known_info(&self) -> Option<Info> {
        self.0.dialect.info()
    }

    async fn info_within(&self, budget: Duration) -> Result<Info, Error> {
        let Inner { dialect, unanswered, .. } = &*self.0;
        let mut is_unanswered = unanswered.0.lock().await;
        if let Some(info) = self.known_info() {
            return Ok(info);
        }
        let budget = if *is_unanswered { Duration::ZERO } else { budget };
        match self.ask_info(budget).await {
            Ok(info) => {
                dialect.learn_info(info.clone());
                Ok(info)
            }
            Err(error) if matches!(error.kind(), Kind::Auth(_)) => Err(error),
            Err(error) => {
                *is_unanswered = true;
                warn(&error, dialect);
                dialect.assume_info(Info::default());
                Ok(Info::default())
            }
        }
    }

    async fn ask_info(&self, budget: Duration) -> Result<Info, Error> {
        let Inner { http, auth, .. } = &*self.0;
        let mut origin = Origin { method: Method::GET, target: "/info".to_owned(), tries: 0, trans_id: None };
        let trouble = Trouble::default();
        let mut session = auth.session(&trouble).await.map_err(|error| origin.error(Kind::Auth(error)))?;
        let (budget, patience) = http.exhaustion().limit(budget, http.timeouts().silence);
        let patience = if budget.is_zero() { patience.min(ONE_TRY) } else { patience };
        let mut tries = Tries::new(budget, &trouble).with_patience(patience);
        loop {
            origin.tries += 1;
            let failure = match self.attempt_info(&session, &origin, tries.patience()).await {
                Ok(info) => return Ok(info),
                Err(failure) => failure,
            };
            // A redirect of `/info` alone says nothing about the storage's URL.
            if !matches!(failure.error.kind(), Kind::Redirected { .. })
                && failure.error.kind().leads_nowhere()
                && let Some(moved) = auth.relocated(&session).await
            {
                session = moved;
                continue;
            }
            if let Err(error) = tries.again(failure).await {
                // The server of `/info` is that of all requests: the next one needn't wait for it again.
                if !budget.is_zero() && matches!(error.kind(), Kind::Unreachable { .. }) {
                    http.exhaustion().note();
                }
                return Err(error);
            }
        }
    }

    /// Makes one try.
    async fn attempt_info(
        &self,
        session: &Session,
        origin: &Origin,
        patience: Duration,
    ) -> Result<Info, Failure<Error>> {
        let url = Info::url(&session.storage_url);
        let outgoing = Outgoing {
            method: Method::GET,
            url: url.clone(),
            headers: HeaderMap::new(),
            body: object_store::PutPayload::new(),
            pace: Pace::Data,
        };
        let broken = |broken| origin.broken(broken, Token::Fixed);
        let answer = self.0.http.send(outgoing, patience).await.map_err(broken)?;
        self.0.dialect.note(&answer.headers);
        let status = answer.status;
        if let Some(to) = elsewhere(&answer, &url, &session.storage_url) {
            return Err(Failure::judged(origin.error(Kind::Redirected { status, to }), Verdict::Fail));
        }
        let asked = retry_after(&answer.headers);
        let (verdict, detail) = match classify(Outcome::Answered(status), Token::Fixed) {
            Verdict::Answer if status == StatusCode::OK => {
                match Info::parse(&answer.bytes(MOST_BYTES).await.map_err(broken)?) {
                    Some(info) => return Ok(info),
                    None => (Verdict::Fail, "the body isn't a JSON object".to_owned()),
                }
            }
            Verdict::Answer => (Verdict::Fail, String::new()),
            verdict => (verdict, String::new()),
        };
        Err(Failure { asked, ..Failure::judged(origin.error(Kind::Answer { status, detail }), verdict) })
    }
}

/// Warns that the defaults are assumed, unless another process has done so or `/info` is merely disabled: nobody can do
/// anything about that.
fn warn(error: &Error, dialect: &Dialect) {
    let message = "the limits of this cluster are unknown; assuming Swift's defaults";
    let is_disabled = matches!(error.status(), Some(StatusCode::FORBIDDEN | StatusCode::NOT_FOUND));
    if is_disabled || !dialect.warns_of_limits() {
        tracing::debug!(%error, "{message}");
    } else {
        let error: &(dyn std::error::Error + 'static) = error;
        tracing::warn!(error, "{message}");
    }
}
