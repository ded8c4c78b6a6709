//! What is reported in the course of a backup.

use swiftwal_postgres::{BackupLabel, SegmentName};

use crate::repository::key::BackupKey;

/// What happens during a backup.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum BackupEvent<'a> {
    /// A key is about to be claimed: from now on there may be something in the repository.
    Claiming,
    /// The backup has its key.
    Claimed(BackupKey),
    /// PostgreSQL sent the label.
    Label(&'a BackupLabel),
    /// PostgreSQL sent how much it expects to send, the WAL not counted. It may correct itself.
    Estimate {
        /// That many bytes.
        tar_bytes: u64,
    },
    /// More of it is stored.
    Progress {
        /// What came from PostgreSQL so far.
        tar_bytes: u64,
        /// What that came to, compressed.
        stored_bytes: u64,
    },
    /// It is complete, but this segment has yet to be archived.
    WaitingForWal(SegmentName),
    /// Something is worth a warning, though the backup goes on.
    Warning(&'a str),
    /// The commit record is about to be written: from now on the backup may exist.
    Committing,
}

/// The receiver of a backup's events.
pub(crate) type Observe<'a> = &'a (dyn Fn(BackupEvent<'_>) + Send + Sync);
