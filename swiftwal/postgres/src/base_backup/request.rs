//! The options of a base backup.

use super::{Checkpoint, CopyOptions, ParentManifest};
use crate::{SourceError, SourceErrorKind};

/// The options of a base backup. A source that doesn't support one of them must refuse to start, rather than ignore it.
#[derive(Debug, Clone)]
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
    /// How the data is copied.
    pub copy: CopyOptions,
    /// For an incremental backup, the manifest of the backup that it builds on. `None` for a full backup.
    ///
    /// A server that can't take an incremental backup from it is an error of the kind
    /// [`NotIncremental`](SourceErrorKind::NotIncremental).
    pub parent_manifest: Option<ParentManifest>,
}

impl BaseBackupRequest {
    /// Creates a request for a backup with this label, without WAL; set the fields to request more.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            checkpoint: Checkpoint::default(),
            include_wal: false,
            estimate_size: false,
            copy: CopyOptions::default(),
            parent_manifest: None,
        }
    }

    /// For a source that only takes full backups: refuses the request for an incremental one. `source` names the source.
    pub(crate) fn refuse_incremental(&self, source: &str) -> Result<(), SourceError> {
        if self.parent_manifest.is_none() {
            return Ok(());
        }
        let message = format!("{source} can't take incremental backups");
        Err(SourceError::new(SourceErrorKind::NotIncremental, message).with_hint("use --method replication"))
    }
}
