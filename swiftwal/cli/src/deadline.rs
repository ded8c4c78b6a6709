//! The deadline of a command.

use std::time::Duration;

use crate::exit::Caller;

/// The least number of bytes that are expected to be stored or fetched in a second.
const BYTES_PER_SECOND: u64 = 1 << 20;
/// The size of the largest WAL file.
const MOST_BYTES: u64 = 1 << 30;

/// How long a command may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    /// No limit.
    None,
    /// The value of `--deadline`.
    Asked(Duration),
    /// The default of a command that PostgreSQL waits for: this time, and more for a large WAL file.
    BySize(Duration),
}

impl Deadline {
    /// Returns the deadline of a command that `caller` has started with this `--deadline`.
    pub(crate) fn of(asked: Option<Duration>, caller: Caller) -> Self {
        match (asked, caller.default_deadline()) {
            (Some(Duration::ZERO), _) | (None, None) => Self::None,
            (Some(asked), _) => Self::Asked(asked),
            (None, Some(default)) => Self::BySize(default),
        }
    }

    /// Returns the time that the command has for a file of this size.
    pub(crate) fn allowed(self, bytes: u64) -> Option<Duration> {
        match self {
            Self::None => None,
            Self::Asked(asked) => Some(asked),
            Self::BySize(base) => Some(base + Duration::from_secs(bytes.min(MOST_BYTES) / BYTES_PER_SECOND)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT_BYTES: u64 = 16 << 20;

    fn seconds(asked: Option<u64>, caller: Caller, bytes: u64) -> Option<u64> {
        let deadline = Deadline::of(asked.map(Duration::from_secs), caller);
        deadline.allowed(bytes).map(|allowed| allowed.as_secs())
    }

    #[test]
    fn the_default_grows_with_the_file() {
        assert_eq!(seconds(None, Caller::ArchiveCommand, 0), Some(60));
        assert_eq!(seconds(None, Caller::ArchiveCommand, 41), Some(60));
        assert_eq!(seconds(None, Caller::ArchiveCommand, SEGMENT_BYTES), Some(76));
        assert_eq!(seconds(None, Caller::RestoreCommand, 1 << 30), Some(120 + 1024));
        assert_eq!(seconds(None, Caller::RestoreCommand, u64::MAX), Some(120 + 1024));
    }

    #[test]
    fn what_was_asked_for_stays_and_zero_is_no_limit() {
        for caller in [Caller::Anyone, Caller::ArchiveCommand, Caller::RestoreCommand] {
            assert_eq!(seconds(Some(7), caller, 1 << 30), Some(7));
            assert_eq!(seconds(Some(0), caller, 1 << 30), None);
        }
        assert_eq!(seconds(None, Caller::Anyone, 1 << 30), None);
    }
}
