//! How a backup is to be made.

use std::time::Duration;

use swiftwal_compression::Codec;
use swiftwal_postgres::{BaseBackupRequest, Checkpoint};

use crate::error::{Error, Result};

/// Twice as long (PostgreSQL may wait for its archiver first), the parts of the tar lie there untouched: well below
/// the time after which a prune sweeps them.
pub(super) const LONGEST_ARCHIVE_TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// How a backup is to be made.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The label that PostgreSQL puts into the backup.
    pub label: String,
    /// The mode of the checkpoint that the backup begins with.
    pub checkpoint: Checkpoint,
    /// Include the WAL that makes the backup consistent.
    pub include_wal: bool,
    /// How it is compressed.
    pub codec: Codec,
    /// How long to wait for each segment of the WAL it needs to be archived: six hours at most.
    pub archive_timeout: Duration,
    /// Whether the server shall say how large the backup will be. Where the storage knows how much room it has, it is asked
    /// in any case.
    pub estimate_size: bool,
}

impl BackupOptions {
    /// Finds what can't be meant. A backup does so too, but only when its repository is open.
    ///
    /// # Errors
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

    /// What is asked of the source.
    pub(super) fn request(&self) -> BaseBackupRequest {
        let mut request = BaseBackupRequest::new(&self.label);
        request.checkpoint = self.checkpoint;
        request.include_wal = self.include_wal;
        request.estimate_size = self.estimate_size;
        request
    }
}
