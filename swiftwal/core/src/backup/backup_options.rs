//! The options of a backup.

use std::time::Duration;

use swiftwal_compression::Codec;
use swiftwal_postgres::{BaseBackupRequest, Checkpoint, CopyOptions};

use super::base::BackupMode;
use crate::error::{Error, Result};

/// With this limit, the parts of the tar may remain untouched for twice as long, since PostgreSQL may wait for its
/// archiver first. That is well below the time after which prune removes them.
pub(super) const LONGEST_ARCHIVE_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// The options of a backup.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The label that PostgreSQL puts into the backup.
    pub label: String,
    /// Whether the backup is full or incremental.
    pub mode: BackupMode,
    /// The mode of the checkpoint that the backup begins with.
    pub checkpoint: Checkpoint,
    /// Include the WAL that makes the backup consistent.
    pub include_wal: bool,
    /// The compression of the backup.
    pub codec: Codec,
    /// How long to wait for the next WAL segment to be archived: six hours at most.
    pub archive_timeout: Duration,
    /// How the data is copied.
    pub copy: CopyOptions,
    /// Whether to ask the server for the size of the backup. If the storage knows its free space, the server is asked
    /// in any case.
    pub estimate_size: bool,
}

impl BackupOptions {
    /// Checks the options. A backup checks them too, but only when its repository is open.
    ///
    /// # Errors
    ///
    /// [`Error::Usage`].
    pub fn check(&self) -> Result<()> {
        if self.label.contains(char::is_control) {
            return Err(Error::Usage(
                "the backup's label has a control character in it; give a plain line".to_owned(),
            ));
        }
        if self.archive_timeout > LONGEST_ARCHIVE_TIMEOUT {
            let hours = LONGEST_ARCHIVE_TIMEOUT.as_secs() / 3600;
            return Err(Error::Usage(format!(
                "--archive-timeout may be {hours} hours at most: a backup without progress for a day counts as \
                 crashed, and prune removes its parts"
            )));
        }
        Ok(())
    }

    /// Returns the request to the source.
    pub(super) fn request(&self) -> BaseBackupRequest {
        let mut request = BaseBackupRequest::new(&self.label);
        request.checkpoint = self.checkpoint;
        request.include_wal = self.include_wal;
        request.estimate_size = self.estimate_size;
        request.copy = self.copy;
        request
    }
}
