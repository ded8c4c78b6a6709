//! The events that a backup reports.

use swiftwal_postgres::{BackupLabel, SegmentName};

use crate::repository::key::BackupKey;

/// An event of a backup.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BackupEvent<'a> {
    /// A key is about to be claimed: from now on objects of the backup may exist.
    Claiming,
    /// The backup has its key.
    Claimed(BackupKey),
    /// The backup is incremental, and builds on this one.
    Incremental {
        /// The key of the parent.
        parent: BackupKey,
    },
    /// The backup is full, although an incremental one was preferred.
    Full {
        /// Why.
        reason: &'a str,
        /// Whether that is as requested: the first backup, or a chain that is long enough.
        is_planned: bool,
    },
    /// PostgreSQL sent the label.
    Label(&'a BackupLabel),
    /// PostgreSQL has reported how much it expects to send, without the WAL. It may correct that later.
    Estimate {
        /// The expected bytes.
        tar_bytes: u64,
    },
    /// More data has been stored.
    Progress {
        /// The bytes that PostgreSQL has sent so far.
        tar_bytes: u64,
        /// Their size after compression.
        stored_bytes: u64,
    },
    /// The backup is complete, but this segment hasn't been archived yet.
    WaitingForWal(SegmentName),
    /// A warning; the backup continues.
    Warning(&'a str),
    /// The commit record is about to be written: from now on the backup may exist.
    Committing,
}

/// The receiver of a backup's events.
pub(crate) type Observe<'a> = &'a (dyn Fn(BackupEvent<'_>) + Send + Sync);
