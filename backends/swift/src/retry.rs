//! Retries: the one place that decides whether a failed request is sent again, and when.
//!
//! The sender makes one try, describes its failure as a [`Failure`], and passes that to [`Tries::again`], which waits
//! until the next try is due or returns the error to fail with. [`classify`] judges a try. [`Trouble`] limits all
//! retries of one request together, at whatever level they are made. [`Exhaustion`] keeps the requests after a long
//! outage from waiting for it again. [`Breaks`] resumes a body that broke off.

mod breaks;
mod exhaustion;
mod pause;
mod trouble;
mod verdict;
mod warnings;

use std::{error::Error, time::Duration};

use tokio::time::sleep;

pub(crate) use self::{
    breaks::Breaks,
    exhaustion::Exhaustion,
    trouble::Trouble,
    verdict::{Outcome, Token, Verdict, classify},
};
use self::{pause::pause, warnings::Warnings};

/// The time that the first try always has, however short the budget is.
const FIRST_TRY: Duration = Duration::from_secs(10);

/// A try that failed.
#[derive(Debug)]
pub(crate) struct Failure<E> {
    pub(crate) error: E,
    pub(crate) verdict: Verdict,
    /// How long nothing had been transferred when the try failed.
    pub(crate) idle: Duration,
    /// The server's `Retry-After`.
    pub(crate) asked: Option<Duration>,
}

impl<E> Failure<E> {
    /// An immediate failure that a retry may overcome.
    pub(crate) fn retry(error: E) -> Self {
        Self::judged(error, Verdict::Retry)
    }

    /// An immediate failure.
    pub(crate) fn judged(error: E, verdict: Verdict) -> Self {
        Self { error, verdict, idle: Duration::ZERO, asked: None }
    }
}

/// The tries of one request.
#[derive(Debug)]
pub(crate) struct Tries<E> {
    budget: Duration,
    patience: Duration,
    failures: u32,
    trouble: Trouble,
    warnings: Warnings,
    last: Option<E>,
    is_exhausted: bool,
}

impl<E: Error + Send + Sync + 'static> Tries<E> {
    /// Tries that end when the request has made no progress for the time `budget`.
    pub(crate) fn new(budget: Duration, trouble: &Trouble) -> Self {
        Self {
            budget,
            patience: Duration::ZERO,
            failures: 0,
            trouble: trouble.clone(),
            warnings: Warnings::default(),
            last: None,
            is_exhausted: false,
        }
    }

    /// Sets how long a try may be silent, within the budget.
    #[must_use]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// How long the next try may be silent, which is never zero: until the end of the budget at most. The first try
    /// leaves half of the budget for another one, but always has ten seconds. With a budget of zero there is a single
    /// try.
    pub(crate) fn patience(&self) -> Duration {
        match self.trouble.is_noted() {
            _ if self.budget.is_zero() => self.patience,
            false => self.patience.min((self.budget / 2).max(FIRST_TRY)),
            true => self.patience.min(self.trouble.left(self.budget).max(Duration::from_millis(1))),
        }
    }

    /// Waits until the next try is due, and logs the failure, as a warning from time to time.
    ///
    /// # Errors
    ///
    /// If there is no next try, the error that the request fails with, at once: that of this failure or, if only the
    /// end of the budget ended this try, the previous one, which says more.
    pub(crate) async fn again(&mut self, failure: Failure<E>) -> Result<(), E> {
        let Failure { error, verdict, idle, asked } = failure;
        let error = self.telling(error, idle);
        match verdict {
            Verdict::Renew => tracing::debug!(%error, "the token was refused; requesting another"),
            Verdict::Retry => {
                if !self.wait(idle, asked, &error).await {
                    self.is_exhausted = true;
                    return Err(error);
                }
            }
            Verdict::Answer | Verdict::Fail => return Err(error),
        }
        self.last = Some(error);
        Ok(())
    }

    /// Returns the error that says more about a try before which nothing had been transferred for `idle`: its own or, if
    /// only the end of the budget ended it, that of the try before it.
    pub(crate) fn telling(&mut self, error: E, idle: Duration) -> E {
        let is_cut_short = !idle.is_zero() && idle < self.patience;
        self.last.take_if(|_| is_cut_short && self.failures > 0).unwrap_or(error)
    }

    /// Whether the request failed because its budget was used up.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// Counts a failure and sleeps until the next try. Returns false, at once, if there is none.
    async fn wait(&mut self, idle: Duration, asked: Option<Duration>, error: &E) -> bool {
        self.failures += 1;
        let spent = self.trouble.note(idle);
        let Some(pause) = pause(self.failures, spent, self.budget, asked, fastrand::f64()) else {
            return false;
        };
        let left = self.budget.saturating_sub(spent).as_secs_f64().ceil();
        self.warnings.tell(error, left, asked);
        sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::Instant;

    use super::*;

    const BUDGET: Duration = Duration::from_secs(120);

    fn failure(idle: Duration) -> Failure<io::Error> {
        Failure { idle, ..Failure::retry(io::Error::other("no answer")) }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_retry_a_request_share_one_budget() {
        let trouble = Trouble::default();
        let (mut outer, mut inner) = (Tries::new(BUDGET, &trouble), Tries::new(BUDGET, &trouble));
        let began = Instant::now();
        while inner.again(failure(Duration::ZERO)).await.is_ok() {}
        while outer.again(failure(Duration::ZERO)).await.is_ok() {}
        assert!(began.elapsed() <= BUDGET, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn the_silence_before_a_failure_is_a_part_of_the_budget() {
        let minute = Duration::from_secs(60);
        let with_budget = |budget| Tries::<io::Error>::new(budget, &Trouble::default()).with_patience(minute);
        let mut tries = with_budget(BUDGET);
        assert_eq!(tries.patience(), minute);
        tokio::time::sleep(minute).await;
        assert!(tries.again(failure(minute)).await.is_ok());
        let patience = tries.patience();
        assert!(patience < minute);
        tokio::time::sleep(patience).await;
        assert!(tries.again(failure(patience)).await.is_err());
        assert!(tries.is_exhausted());
        assert_eq!(with_budget(minute).patience(), minute / 2);
        assert_eq!(with_budget(Duration::ZERO).patience(), minute);
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_the_end_of_the_budget_cuts_short_fails_with_the_error_before_it() {
        let minute = Duration::from_secs(60);
        let mut tries = Tries::new(BUDGET, &Trouble::default()).with_patience(minute);
        let first = Failure::retry(io::Error::other("first"));
        assert!(tries.again(first).await.is_ok());
        tokio::time::sleep(BUDGET).await;
        let error = tries.again(failure(minute / 2)).await.unwrap_err();
        assert_eq!(error.to_string(), "first");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_asks_for_a_longer_pause_than_there_is_time_is_asked_once_more() {
        let (mut tries, began) = (Tries::new(BUDGET, &Trouble::default()), Instant::now());
        let asked = || Failure { asked: Some(Duration::from_secs(3600)), ..failure(Duration::ZERO) };
        assert!(tries.again(asked()).await.is_ok());
        assert_eq!(began.elapsed(), BUDGET - FIRST_TRY);
        tokio::time::sleep(FIRST_TRY).await;
        assert!(tries.again(asked()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_cannot_get_better_is_given_back_at_once() {
        let mut tries = Tries::new(BUDGET, &Trouble::default());
        let failure = Failure { verdict: Verdict::Fail, ..failure(Duration::ZERO) };
        assert!(tries.again(failure).await.is_err());
        assert!(!tries.is_exhausted());
    }
}
