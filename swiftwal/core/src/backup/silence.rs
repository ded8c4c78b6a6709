//! The limits on the server's silence during a base backup, and the error when one is exceeded.

use std::time::Duration;

use crate::error::Overdue;

/// The longest time until the backup starts: a spread checkpoint lasts about `checkpoint_timeout`, which is rarely set
/// to more than an hour.
pub(super) const CHECKPOINT_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// The longest silence after the start.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(600);

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It performs the checkpoint.
    Checkpoint,
    /// It sends data.
    Sending,
    /// It waits for its archiver.
    Archiving,
}

impl Phase {
    /// The longest silence that is accepted. `archive_timeout` is the limit for one segment to be archived.
    pub(super) fn limit(self, archive_timeout: Duration) -> Duration {
        match self {
            Self::Checkpoint => CHECKPOINT_LIMIT,
            Self::Sending => SILENCE_LIMIT,
            Self::Archiving => archive_timeout,
        }
    }

    /// Returns the error after a silence of `limit`. `sent_directory` says whether the data directory has arrived
    /// completely.
    pub(super) fn overdue(self, limit: Duration, sent_directory: bool) -> Overdue {
        match self {
            Self::Checkpoint => Overdue::Start { limit },
            Self::Sending if !sent_directory => Overdue::Middle { limit },
            Self::Sending | Self::Archiving => Overdue::End { limit },
        }
    }
}
