//! Warns of retried failures, but not of each one.

use std::{error::Error, time::Duration};

use tokio::time::Instant;

/// The shortest time between two warnings of one request.
const QUIET: Duration = Duration::from_secs(15);

/// Warns of the first failure, and then of one in each [`QUIET`] interval.
#[derive(Debug, Default)]
pub(super) struct Warnings(Option<Instant>);

impl Warnings {
    /// Logs a failure, as a warning if one is due. `asked` is the pause that the server has asked for.
    pub(super) fn tell(&mut self, error: &(dyn Error + 'static), left: f64, asked: Option<Duration>) {
        let asked = asked.map(|asked| format!("; the server asked for a pause of {} s", asked.as_secs()));
        let asked = asked.unwrap_or_default();
        if self.is_due(Instant::now()) {
            tracing::warn!(error, "trying again, for {left} s at most{asked}");
        } else {
            tracing::debug!(error, "trying again, for {left} s at most{asked}");
        }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.duration_since(last) >= QUIET);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_warned_at_once_and_then_every_quarter_of_a_minute_at_most() {
        let (mut warnings, start) = (Warnings::default(), Instant::now());
        let due =
            [0, 1, 14, 15, 16, 29, 45].map(|second| warnings.is_due(start + Duration::from_secs(second)));
        assert_eq!(due, [true, false, false, true, false, false, true]);
    }
}
