//! The time for which a request has made no progress.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;

/// The time since which a request has made no progress. Clones share it: every part of the program that sends the
/// request again uses the same one, so that one limit applies to all their retries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trouble(Arc<OnceLock<Instant>>);

impl Trouble {
    /// Records a failure before which nothing had been transferred for `idle`. Returns the time since the first failure
    /// began.
    pub(crate) fn note(&self, idle: Duration) -> Duration {
        let began = || Instant::now().checked_sub(idle).unwrap_or_else(Instant::now);
        self.0.get_or_init(began).elapsed()
    }

    pub(super) fn spent(&self) -> Duration {
        self.0.get().map(Instant::elapsed).unwrap_or_default()
    }

    pub(super) fn is_noted(&self) -> bool {
        self.0.get().is_some()
    }

    /// Returns the rest of a budget that began with the first failure.
    pub(crate) fn left(&self, budget: Duration) -> Duration {
        budget.saturating_sub(self.spent())
    }
}
