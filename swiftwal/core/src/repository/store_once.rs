//! Stores a WAL file under a name that may be taken: a file that is archived again is compared with the stored one.
//!
//! archive-wal calls it. Nothing is overwritten, and what it reports as stored is durable.

use swiftwal_compression::{Codec, Format};

use crate::{
    error::{Refusal, Result},
    repository::{
        PutOutcome, Repository,
        layout::ObjectName,
        staged_wal::{Existing, StagedWal},
        wal_file::WalFile,
        wal_frames::Threads,
    },
};

/// The content under the name of a WAL file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoredOnce {
    /// The file was stored now.
    Stored {
        /// Its size as stored.
        stored_bytes: u64,
    },
    /// The same content had been stored before.
    SameContent,
    /// Different content, which was kept.
    Different,
}

impl Repository {
    /// Stores `file` as `object`, which is named for the format of `codec`. If the name is taken, the contents are
    /// compared.
    ///
    /// # Errors
    ///
    /// Those of [`stage_wal`](Self::stage_wal) and of [`compare_wal`](Self::compare_wal).
    pub(crate) async fn store_once(
        &self,
        object: &ObjectName,
        file: &WalFile,
        codec: Codec,
    ) -> Result<StoredOnce> {
        let staged = self.stage_wal(object, file, codec, Existing::Keep, Threads::All).await?;
        self.publish_once(staged, object, file, codec.format()).await
    }

    /// Gives `object`, which was staged from `file` in the compression `format`, its name. If that is taken, the contents
    /// are compared.
    ///
    /// # Errors
    ///
    /// Those of the storage and of [`compare_wal`](Self::compare_wal).
    pub(crate) async fn publish_once(
        &self,
        staged: StagedWal<'_>,
        object: &ObjectName,
        file: &WalFile,
        format: Format,
    ) -> Result<StoredOnce> {
        let stored_bytes = staged.stored_bytes();
        if staged.publish().await? == PutOutcome::Stored {
            return Ok(StoredOnce::Stored { stored_bytes });
        }
        self.compare_once(object, file, format).await
    }

    /// Compares the contents, for a name that is known to be taken.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`] if it no longer is, and those of [`compare_wal`](Self::compare_wal).
    pub(crate) async fn compare_once(
        &self,
        object: &ObjectName,
        file: &WalFile,
        format: Format,
    ) -> Result<StoredOnce> {
        match self.compare_wal(object, file, format).await? {
            Some(true) => Ok(StoredOnce::SameContent),
            Some(false) => Ok(StoredOnce::Different),
            None => {
                let what = format!("{object} disappeared while it was being compared");
                Err(Refusal::overtaken(what, "try again").into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{error::Error, local::clock::SystemClock, storage::Storage};

    /// PostgreSQL would remove the file if it were reported as stored.
    #[tokio::test]
    async fn a_file_that_vanishes_before_it_is_compared_is_not_taken_for_stored() {
        let storage = Storage::new(Arc::new(InMemory::new()));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("000000010000000000000003.00000028.backup");
        std::fs::write(&path, "START WAL LOCATION: 0/3000028").unwrap();
        let file = WalFile::open(&path).unwrap();
        let object = file.object(Format::Zstd);
        let error = repository.compare_once(&object, &file, Format::Zstd).await.unwrap_err();
        assert!(matches!(error, Error::Refused(Refusal::Overtaken { .. })), "{error}");
        assert!(error.to_string().contains("disappeared"), "{error}");
    }
}
