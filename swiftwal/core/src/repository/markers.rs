//! The markers of backups in progress: they keep prune away from a backup's objects and the WAL it will need, and show
//! where a process crashed. And the marks of what is being removed.

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{PutMode, PutPayload, path::Path};
use serde::{Deserialize, Serialize};
use swiftwal_postgres::{Lsn, SegmentName};

use crate::{
    error::Result,
    repository::{
        Repository,
        inventory::touched,
        key::BackupKey,
        layout::{DELETING, ObjectName, REMOVING_WAL, UPLOADING},
    },
};

/// The id of the claim object among the markers of a key. Every process that wants the key must create this one name.
pub(crate) const CLAIM_ID: &str = "claim";

/// What the markers are called in messages.
const BACKUPS: &str = "the markers of backups in progress";

/// Whether this marker is a key's claim object.
pub(crate) fn is_claim_object(name: &ObjectName) -> bool {
    matches!(name, ObjectName::Marker { id, .. } if id == CLAIM_ID)
}

/// The content of a marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MarkerContent {
    /// The host of the process.
    pub(crate) host: String,
    /// The id of the process on that host.
    pub(crate) pid: u32,
    /// When the backup began.
    pub(crate) started: Timestamp,
    /// The backup that this one builds on, if it is incremental.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<BackupKey>,
    /// The first WAL segment that the backup will need, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_wal: Option<SegmentName>,
    /// The position in the WAL at which the backup begins, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_lsn: Option<Lsn>,
}

/// Returns the markers that claim `name`, a key or the object of a backup of SwiftWAL 0.2.2, and when each was last
/// written.
pub(crate) async fn markers(
    repository: &Repository,
    name: impl ToString + Send,
) -> Result<Vec<(ObjectName, Timestamp)>> {
    let directory = Path::from_iter([UPLOADING.to_owned(), name.to_string()]);
    list_dated(repository, directory, BACKUPS).await
}

/// Returns the markers of every backup in progress.
pub(crate) async fn all_markers(repository: &Repository) -> Result<Vec<(ObjectName, Timestamp)>> {
    list_dated(repository, Path::from(UPLOADING), BACKUPS).await
}

/// Stores a mark of what is going to be removed. Returns whether it was stored, which a full storage refuses.
pub(crate) async fn put_mark(repository: &Repository, mark: &ObjectName) -> Result<bool> {
    match repository.put(mark, PutPayload::new(), PutMode::Overwrite).await {
        Err(error) if repository.storage().is_full(&error) => Ok(false),
        stored => stored.map(|_| true),
    }
}

/// Returns the marks of WAL that is being removed, and when each was last written.
pub(crate) async fn wal_marks(repository: &Repository) -> Result<Vec<(ObjectName, Timestamp)>> {
    list_dated(repository, Path::from(REMOVING_WAL), "the marks of WAL that is being removed").await
}

/// Removes marks, each found with its date, that no running command relies on. A mark that was written again since then is
/// kept: the command that wrote it may rely on it.
pub(crate) async fn remove_stale_marks(
    repository: &Repository,
    stale: &[(ObjectName, Timestamp)],
) -> Result<()> {
    if stale.is_empty() {
        return Ok(());
    }
    let deletions = Path::from(DELETING);
    let mut marks = list_dated(repository, deletions, "the marks of backups that are being deleted").await?;
    marks.extend(wal_marks(repository).await?);
    marks.retain(|mark| stale.contains(mark));
    // Nothing writes the record of a gap again.
    marks.extend(stale.iter().filter(|(name, _)| matches!(name, ObjectName::Gap(_))).cloned());
    repository.delete_all(marks.into_iter().map(|(mark, _)| mark)).await
}

pub(super) async fn list_dated(
    repository: &Repository,
    directory: Path,
    what: &'static str,
) -> Result<Vec<(ObjectName, Timestamp)>> {
    let listed: Result<Vec<_>, _> = repository.storage().store().list(Some(&directory)).try_collect().await;
    let listed = listed.map_err(repository.failed("list", what))?;
    Ok(listed.iter().map(|meta| (ObjectName::parse(meta.location.as_ref()), touched(meta))).collect())
}
