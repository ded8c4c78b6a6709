//! The options of a base backup.

use super::Checkpoint;

/// The options of a base backup. A source that doesn't support one of them must refuse to start, rather than ignore it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseBackupRequest {
    /// The text of the `LABEL` line in the backup label.
    pub label: String,
    /// The mode of the checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether the data directory's archive contains the WAL from start to stop in its `pg_wal`.
    pub include_wal: bool,
    /// Whether to ask the server for the size of the backup. It examines every file for that before it begins.
    pub estimate_size: bool,
}

impl BaseBackupRequest {
    /// Creates a request for a backup with this label, without WAL; set the fields to request more.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            checkpoint: Checkpoint::default(),
            include_wal: false,
            estimate_size: false,
        }
    }
}
