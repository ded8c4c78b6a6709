//! The reasons to stop a command.

use std::{fmt, time::Duration};

use swiftwal_core::Elapsed;

use crate::signal::Signal;

/// The reason to stop a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A signal.
    Signal(Signal),
    /// The end of the time of `--deadline`.
    Deadline(MissedDeadline),
}

/// A deadline that was missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissedDeadline {
    /// The time that the command had.
    pub(crate) allowed: Duration,
    /// What the command was doing at that moment, such as "storing pg_wal/…".
    pub(crate) doing: String,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "stopped by {signal}"),
            Self::Deadline(MissedDeadline { allowed, doing }) => {
                write!(f, "not done within the deadline of {}, and stopped while {doing}", Elapsed(*allowed))
            }
        }
    }
}

impl Stop {
    /// Returns what to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Signal(_) => None,
            Self::Deadline(_) => Some(
                "check that the storage and the file systems in use answer, or allow more time with --deadline",
            ),
        }
    }
}
