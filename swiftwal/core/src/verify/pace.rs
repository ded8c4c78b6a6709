//! Keeps verify below a rate.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When how much may have been read. All readers share it.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    /// When what was read so far should have been.
    due: Mutex<Instant>,
}

impl Pace {
    pub(super) fn new(bytes_per_second: Option<u64>, now: Instant) -> Self {
        Self { bytes_per_second, due: Mutex::new(now) }
    }

    /// Adds bytes that were read. Returns how long to wait before the next ones.
    pub(super) fn add(&self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second.filter(|rate| *rate > 0) else { return Duration::ZERO };
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        *due = (*due).max(now) + Duration::from_secs_f64(bytes as f64 / rate as f64);
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_kept_and_a_pause_is_not_made_up_for() {
        let began = Instant::now();
        let after = |seconds| began + Duration::from_secs(seconds);
        let pace = Pace::new(Some(1 << 20), began);
        assert_eq!(pace.add(1 << 20, began), Duration::from_secs(1));
        assert_eq!(pace.add(1 << 20, after(1)), Duration::from_secs(1));
        assert_eq!(pace.add(2 << 20, after(60)), Duration::from_secs(2));
        assert_eq!(Pace::new(None, began).add(u64::MAX, began), Duration::ZERO);
    }
}
