//! Remembers an outage that one request has waited for, so that the next requests don't wait for it again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::FIRST_TRY;

/// When a request last used up its time for retries, unless another has succeeded since. Later requests, such as those
/// that clean up after the failure, are tried once.
#[derive(Debug, Default)]
pub(crate) struct Exhaustion(Mutex<Option<Instant>>);

impl Exhaustion {
    pub(crate) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The budget and patience of a request: the given ones or, after an exhaustion, those of a single try. An
    /// exhaustion is forgotten after the time of the budget.
    pub(crate) fn limit(&self, budget: Duration, patience: Duration) -> (Duration, Duration) {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last {
            Some(last) if last.elapsed() < budget => (Duration::ZERO, patience.min(FIRST_TRY)),
            _ => (budget, patience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Duration = Duration::from_secs(120);

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_for_once_until_something_succeeds_or_time_has_passed() {
        let (exhaustion, minute) = (Exhaustion::default(), Duration::from_secs(60));
        let whole = (BUDGET, minute);
        assert_eq!(exhaustion.limit(BUDGET, minute), whole);
        exhaustion.note();
        assert_eq!(exhaustion.limit(BUDGET, minute), (Duration::ZERO, FIRST_TRY));
        exhaustion.clear();
        assert_eq!(exhaustion.limit(BUDGET, minute), whole);
        exhaustion.note();
        tokio::time::advance(BUDGET).await;
        assert_eq!(exhaustion.limit(BUDGET, minute), whole);
    }
}
