//! How long the server may be silent while it makes a base backup, and what is reported if it was silent for longer.

use std::time::Duration;

use crate::error::Overdue;

/// How long the server may take until it begins: a spread checkpoint lasts about `checkpoint_timeout`, which people set to
/// an hour and seldom to more.
pub(super) const CHECKPOINT_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// How long the server may be silent once it has begun.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(600);

/// What the server is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It makes the checkpoint.
    Checkpoint,
    /// It sends data.
    Sending,
    /// It waits for its archiver.
    Archiving,
}

impl Phase {
    /// How long the server may be silent; `archive_timeout` is the limit for a segment of WAL to be archived.
    pub(super) fn limit(self, archive_timeout: Duration) -> Duration {
        match self {
            Self::Checkpoint => CHECKPOINT_LIMIT,
            Self::Sending => SILENCE_LIMIT,
            Self::Archiving => archive_timeout,
        }
    }

    /// What to say of a silence of `limit`; `sent_directory`: all of the data directory has come.
    pub(super) fn overdue(self, limit: Duration, sent_directory: bool) -> Overdue {
        match self {
            Self::Checkpoint => Overdue::Start { limit },
            Self::Sending if !sent_directory => Overdue::Middle { limit },
            Self::Sending | Self::Archiving => Overdue::End { limit },
        }
    }
}
