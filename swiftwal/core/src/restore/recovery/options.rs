//! What a restored server shall recover to, and how that is written on a command line.

use std::str::FromStr;

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, Timeline};

/// Where recovery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// The last transaction committed before or at this time.
    Time(Timestamp),
    /// This transaction.
    Xid(u64),
    /// This position of the WAL.
    Lsn(Lsn),
    /// A point that `pg_create_restore_point` named.
    Name(String),
    /// As soon as the backup is consistent.
    Immediate,
}

/// Which timeline recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTimeline {
    /// That of the backup.
    Current,
    /// The newest there is.
    Latest,
    /// This one.
    Id(Timeline),
}

/// What PostgreSQL does at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetAction {
    /// It pauses, so that one can look.
    Pause,
    /// It ends recovery and takes connections.
    Promote,
    /// It shuts down.
    Shutdown,
}

/// Whether the restored server archives its WAL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveMode {
    /// It archives as the original server did: right where it replaces the original.
    #[default]
    Keep,
    /// It archives nothing: right for a copy, which otherwise adds a timeline of its own to the repository.
    Off,
}

impl FromStr for ArchiveMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "off" => Ok(Self::Off),
            other => Err(format!("'{other}' is not an archive mode: give off or keep")),
        }
    }
}

impl FromStr for TargetTimeline {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "current" => Ok(Self::Current),
            "latest" => Ok(Self::Latest),
            number => number.parse().map(Self::Id).map_err(|_| {
                format!("'{number}' is not a timeline: give current, latest or a number such as 2")
            }),
        }
    }
}

impl FromStr for TargetAction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pause" => Ok(Self::Pause),
            "promote" => Ok(Self::Promote),
            "shutdown" => Ok(Self::Shutdown),
            other => Err(format!("'{other}' is not an action: give pause, promote or shutdown")),
        }
    }
}
