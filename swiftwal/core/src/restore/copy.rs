//! Copies the tars of a backup, or of a chain of them, into the directories.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{
    Observe, RestoreEvent, databases::ChosenDatabases, destination::Destination, extract::Extracted,
};
use crate::{
    error::{ErrorKind, Result},
    local::blocking::blocking,
    repository::{
        Repository,
        backup::ChosenBackup,
        fetch::{self, Buffers, IndexFault, StoredTar},
        manifest::Manifest,
        record::BackupRecord,
    },
};

/// An older backup of a chain.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) record: BackupRecord,
    pub(super) tars: Vec<StoredTar>,
}

/// A copy in progress.
pub(super) struct Copy<'a> {
    pub(super) repository: &'a Repository,
    pub(super) destination: &'a Arc<Destination>,
    buffers: Buffers,
    copied: Arc<AtomicU64>,
    total_tar_bytes: Option<u64>,
    pub(super) observe: Observe<'a>,
}

impl<'a> Copy<'a> {
    /// Begins to copy `total_tar_bytes`, if that is known.
    pub(super) fn new(
        repository: &'a Repository,
        destination: &'a Arc<Destination>,
        total_tar_bytes: Option<u64>,
        observe: Observe<'a>,
    ) -> Self {
        let (buffers, copied) = (Buffers::new(), Arc::default());
        Self { repository, destination, buffers, copied, total_tar_bytes, observe }
    }

    /// Fetches a tar, and passes its pieces to `extract` in a blocking thread, with a counter of the bytes.
    pub(super) async fn tar(
        &self,
        tar: StoredTar,
        extract: impl FnOnce(mpsc::Receiver<Bytes>, &AtomicU64) -> Result<Extracted> + Send + 'static,
    ) -> Result<Extracted> {
        let (sender, receiver) = mpsc::channel(fetch::PIECES_WAITING);
        let copied = Arc::clone(&self.copied);
        let writing = blocking(move || extract(receiver, &copied));
        let progress = || {
            let tar_bytes = self.copied.load(Ordering::Relaxed);
            (self.observe)(RestoreEvent::Progress { tar_bytes, total_tar_bytes: self.total_tar_bytes });
        };
        let note = |fault: IndexFault<'_>| note_index(self.observe, fault);
        let fetching = fetch::fetch(self.repository, tar, sender, &self.buffers, &progress, &note);
        // Both run to their ends, even if one fails: a writer that is still running would outlast the cleanup.
        let (fetched, extracted) = tokio::join!(fetching, writing);
        fetched.and(extracted)
    }

    /// Compares the files of a backup with its manifest, and says so if its index didn't fit.
    pub(super) fn check(&self, manifest: Option<&Manifest>, extracted: &Extracted) -> Result<()> {
        if let Some(manifest) = manifest {
            manifest.check(extracted.sum)?;
        }
        if extracted.differs_from_index {
            (self.observe)(RestoreEvent::Notice(
                "the backup's index doesn't list the same files as its data, so not every file could be compared with its \
                 checksum; the stored data as a whole is what was backed up",
            ));
        }
        Ok(())
    }
}

/// Returns the tars of a backup, with its index if that is usable. Its text is kept in a file without a name in `directory`.
pub(super) async fn tars(
    repository: &Repository,
    backup: &ChosenBackup,
    directory: &Path,
    observe: Observe<'_>,
) -> Result<Vec<StoredTar>> {
    let note = |fault: IndexFault<'_>| note_index(observe, fault);
    let index = fetch::index_if_usable(repository, backup, directory, &note).await?;
    Ok(fetch::tars(backup, index, &note))
}

/// Says that data is restored without the index.
fn note_index(observe: Observe<'_>, fault: IndexFault<'_>) {
    let notice = match fault {
        IndexFault::Unusable(error) => {
            format!("restoring without the backup's index, more slowly: {}", error.in_full())
        }
        IndexFault::Incomplete(object) => format!(
            "the backup's index doesn't fit {object}; restoring {object} without the index, more slowly"
        ),
        IndexFault::Wrong { object, error, .. } => format!(
            "the backup's index doesn't fit {object} ({}); restoring the rest of this object without the index, more slowly",
            error.in_full()
        ),
    };
    observe(RestoreEvent::Notice(&notice));
}

/// Returns the tars of the older backups of a chain.
pub(super) async fn members(
    repository: &Repository,
    parents: Vec<BackupRecord>,
    directory: &Path,
    observe: Observe<'_>,
) -> Result<Vec<Member>> {
    let mut members = Vec::new();
    for record in parents {
        let backup = ChosenBackup { key: record.key, record: Some(record.clone()) };
        let tars = tars(repository, &backup, directory, observe).await?;
        members.push(Member { record, tars });
    }
    Ok(members)
}

/// Reads PostgreSQL's manifest of the databases, if the backup has one, and keeps its text in `directory`, if that is
/// given. A missing or damaged one isn't needed, as the stored data has checksums of its own.
pub(super) async fn read_manifest(
    repository: &Repository,
    record: Option<&BackupRecord>,
    directory: Option<&Path>,
    databases: Option<&ChosenDatabases>,
    observe: Observe<'_>,
) -> Result<Option<Manifest>> {
    let Some(record) = record else { return Ok(None) };
    let counts = |name: &[u8]| databases.is_none_or(|databases| !databases.leaves_out(None, name));
    match Manifest::read(repository, &record.objects, directory, &counts).await {
        Err(error) if error.kind() == ErrorKind::Damaged => {
            observe(RestoreEvent::Notice(&format!(
                "restoring without comparing the files with PostgreSQL's manifest of the backup: {}",
                error.in_full()
            )));
            Ok(None)
        }
        read => read,
    }
}
