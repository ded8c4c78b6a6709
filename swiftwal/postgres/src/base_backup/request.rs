//! Which base backup is wanted.

use super::Checkpoint;

/// Which base backup is wanted. A source that can't serve a field refuses to start; it must not ignore it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BaseBackupRequest {
    /// The text of the `LABEL` line in the backup label.
    pub label: String,
    /// How the server makes the checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether the data directory's archive carries the WAL from start to stop in its `pg_wal`.
    pub include_wal: bool,
    /// Ask the server for the size of the backup: it looks at every file for that before it begins.
    pub estimate_size: bool,
}

impl BaseBackupRequest {
    /// A backup with that label, without WAL, that nothing else is asked of; the fields say what more is wanted.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            checkpoint: Checkpoint::default(),
            include_wal: false,
            estimate_size: false,
        }
    }
}
