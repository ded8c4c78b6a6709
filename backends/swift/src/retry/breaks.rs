//! Decides when a body that broke off is resumed: after a short pause, a few times in a row.

use std::time::Duration;

use tokio::time::sleep;

use super::Trouble;

/// How often a body may break off without any byte in between.
const MOST: u32 = 5;

/// The breaks of one body since its last byte.
#[derive(Debug, Default)]
pub(crate) struct Breaks {
    count: u32,
    trouble: Trouble,
}

impl Breaks {
    /// Resets the count, since a byte has arrived.
    pub(crate) fn clear(&mut self) {
        if self.count > 0 {
            *self = Self::default();
        }
    }

    /// Counts a break before which nothing had been transferred for `idle`, and sleeps until the body is to be resumed.
    /// Returns false, at once, after too many breaks.
    pub(crate) async fn again(&mut self, idle: Duration) -> bool {
        self.count += 1;
        self.trouble.note(idle);
        if self.count > MOST {
            return false;
        }
        sleep(Duration::from_millis(50) * (1 << self.count)).await;
        true
    }

    /// The time limit that the requests since the last byte share.
    pub(crate) fn trouble(&self) -> &Trouble {
        &self.trouble
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_moves_in_between_may_break_off_without_end() {
        let mut breaks = Breaks::default();
        for _ in 0..100 {
            assert!(breaks.again(Duration::ZERO).await);
            breaks.clear();
        }
        for _ in 0..MOST {
            assert!(breaks.again(Duration::ZERO).await);
        }
        assert!(!breaks.again(Duration::ZERO).await);
    }
}
