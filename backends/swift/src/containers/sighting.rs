//! When a container was last seen to exist.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a container that was seen counts as existing. Swift's own proxies cache that for a minute.
const FRESH: Duration = Duration::from_secs(10);

/// When a container was last seen to exist.
#[derive(Debug, Default)]
pub(super) struct Sighting(Mutex<Option<Instant>>);

impl Sighting {
    pub(super) fn record(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| now.duration_since(last) < FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sighting_is_good_for_a_while() {
        let (sighting, now) = (Sighting::default(), Instant::now());
        assert!(!sighting.is_fresh(now));
        sighting.record(now);
        assert!(sighting.is_fresh(now));
        assert!(!sighting.is_fresh(now + FRESH));
    }
}
