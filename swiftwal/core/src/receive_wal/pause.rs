//! The pauses between attempts, and which failures are worth another one.

use std::time::Duration;

use swiftwal_postgres::SourceErrorKind;

use crate::error::{Error, ErrorKind, Refusal};

/// The interval of what isn't done regularly.
pub(super) const NEVER: Duration = Duration::from_secs(1 << 30);

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// The pause before the next attempt: one second, and each time twice as long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// Returns the pause in seconds.
    pub(super) fn seconds(self) -> u64 {
        self.0.as_secs()
    }

    /// Returns the pause, and makes the next one longer.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        pause
    }
}

/// Whether another attempt may succeed: the storage, the server or this machine failed, rather than the request or the data
/// being wrong.
pub(super) fn may_pass(error: &Error) -> bool {
    match error {
        Error::Source(error) => error.kind() == SourceErrorKind::Unavailable,
        // The disk of the repository isn't mounted.
        Error::NotAsSeen { .. } => true,
        // Another process removed what this one was comparing.
        Error::Refused(Refusal::Overtaken { .. }) => true,
        error => matches!(error.kind(), ErrorKind::Failed | ErrorKind::TimedOut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_ten_seconds() {
        let mut pause = Pause::default();
        let pauses = [(); 6].map(|()| pause.next().as_secs());
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }
}
