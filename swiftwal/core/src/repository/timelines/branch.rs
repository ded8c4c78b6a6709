//! The description of a timeline, for a person who has to choose one.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_postgres::{Lsn, SegmentName, Timeline};

use crate::repository::key::BackupKey;

/// A timeline of a repository, with its newest backup and its last WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Branch {
    /// The timeline.
    pub timeline: Timeline,
    /// The timeline that it branched off; none for the first one, and if its history isn't stored or is damaged.
    pub parent: Option<Timeline>,
    /// Where it branched off.
    pub branched_off_at: Option<Lsn>,
    /// Whether its history is stored, but damaged.
    pub history_is_damaged: bool,
    /// The newest backup that was taken on it.
    pub newest_backup: Option<BackupKey>,
    /// Its last WAL segment.
    pub last_wal: Option<SegmentName>,
    /// When that was stored, by the storage's clock.
    pub last_wal_stored: Option<Timestamp>,
}

/// `timeline 2, branched off timeline 1 at 0/5000000: newest backup …, WAL up to …, stored …`.
impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timeline {}", self.timeline)?;
        match (self.parent, self.branched_off_at) {
            (Some(parent), Some(lsn)) => write!(f, ", branched off timeline {parent} at {lsn}")?,
            _ if self.history_is_damaged => write!(f, ", whose history is damaged")?,
            _ if self.timeline != Timeline::FIRST => write!(f, ", whose history is missing")?,
            _ => {}
        }
        match self.newest_backup {
            Some(key) => write!(f, ": newest backup {key}")?,
            None => write!(f, ": no backup")?,
        }
        match (self.last_wal, self.last_wal_stored) {
            (Some(segment), Some(stored)) => write!(f, ", WAL up to {segment}, stored {stored}"),
            _ => write!(f, ", no WAL"),
        }
    }
}
