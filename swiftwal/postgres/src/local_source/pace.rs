//! Keeps the copy below a rate.

use tokio::time::{Duration, Instant};

use crate::base_backup::MaxRate;

/// When how much may have been copied. A pause of the receiver isn't made up for: after it, the rate counts from anew.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<MaxRate>,
    /// When what was copied so far should have been.
    due: Instant,
}

impl Pace {
    pub(super) fn new(rate: Option<MaxRate>) -> Self {
        Self { rate, due: Instant::now() }
    }

    /// Adds bytes that were copied. Returns until when to wait before the next ones.
    pub(super) fn add(&mut self, bytes: usize) -> Instant {
        let now = Instant::now();
        let Some(rate) = self.rate else { return now };
        self.due = self.due.max(now) + Duration::from_secs_f64(bytes as f64 / rate.bytes() as f64);
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept_and_a_pause_is_not_made_up_for() {
        let began = Instant::now();
        let mut pace = Pace::new("1M".parse().ok());
        for megabytes in 1..=3 {
            tokio::time::sleep_until(pace.add(1 << 20)).await;
            assert_eq!(began.elapsed(), Duration::from_secs(megabytes));
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(pace.add(2 << 20), Instant::now() + Duration::from_secs(2));
        assert_eq!(Pace::new(None).add(usize::MAX), Instant::now());
    }
}
