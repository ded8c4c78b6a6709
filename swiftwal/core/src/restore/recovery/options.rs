//! The recovery target of a restored server, and its form on the command line.

use std::str::FromStr;

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, Timeline};

/// The point at which recovery ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecoveryTarget {
    /// The last transaction committed before or at this time.
    Time(Timestamp),
    /// This transaction.
    Xid(u64),
    /// This position of the WAL.
    Lsn(Lsn),
    /// A restore point that `pg_create_restore_point` created.
    Name(String),
    /// The moment at which the backup is consistent.
    Immediate,
}

/// The timeline that recovery follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetTimeline {
    /// The timeline of the backup.
    Current,
    /// The newest one.
    Latest,
    /// This one.
    Id(Timeline),
}

/// PostgreSQL's action at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetAction {
    /// It pauses, so that the administrator can check the data.
    Pause,
    /// It ends recovery and accepts connections.
    Promote,
    /// It shuts down.
    Shutdown,
}

/// Whether the restored server archives its WAL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArchiveMode {
    /// It archives as the original server did, which is right if it replaces the original.
    #[default]
    Keep,
    /// It archives nothing, which is right for a copy: otherwise the copy would add a timeline to the repository.
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
