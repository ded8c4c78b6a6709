//! Why a command is stopped before it is done.

use std::{fmt, time::Duration};

use swiftwal_core::Elapsed;

use crate::signal::Signal;

/// Why a command is stopped before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A signal asked for it.
    Signal(Signal),
    /// The time of `--deadline` is up.
    Deadline(MissedDeadline),
}

/// A deadline that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissedDeadline {
    /// How much time there was.
    pub(crate) allowed: Duration,
    /// What the command was doing at the end of it, as "storing pg_wal/…".
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
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Signal(_) => None,
            Self::Deadline(_) => Some(
                "check that the storage and the file systems in use answer, or allow more time with --deadline",
            ),
        }
    }
}
