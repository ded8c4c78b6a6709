//! The markers of backups in progress: they keep prune away from what a backup has stored so far and the WAL it will need,
//! and show where a process crashed.

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::path::Path;
use serde::{Deserialize, Serialize};
use swiftwal_postgres::{Lsn, SegmentName};

use crate::{
    error::Result,
    repository::{
        Repository,
        inventory::touched,
        layout::{ObjectName, UPLOADING},
    },
};

/// The id of the claim object among the markers of a key: the one name that all who want the key have to take.
pub(crate) const CLAIM_ID: &str = "claim";

/// Whether this marker is a key's claim object.
pub(crate) fn is_claim_object(name: &ObjectName) -> bool {
    matches!(name, ObjectName::Marker { id, .. } if id == CLAIM_ID)
}

/// What a marker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MarkerContent {
    /// The machine.
    pub(crate) host: String,
    /// The process on it.
    pub(crate) pid: u32,
    /// When it began.
    pub(crate) started: Timestamp,
    /// The first WAL segment the backup will need, as soon as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_wal: Option<SegmentName>,
    /// Where it begins, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) start_lsn: Option<Lsn>,
}

/// The markers that claim `name`, a key or the object of a backup of SwiftWAL 0.2.2, and when each was last written.
pub(crate) async fn markers(
    repository: &Repository,
    name: impl ToString + Send,
) -> Result<Vec<(ObjectName, Timestamp)>> {
    list_markers(repository, Path::from_iter([UPLOADING.to_owned(), name.to_string()])).await
}

/// Those of every backup in progress.
pub(crate) async fn all_markers(repository: &Repository) -> Result<Vec<(ObjectName, Timestamp)>> {
    list_markers(repository, Path::from(UPLOADING)).await
}

async fn list_markers(repository: &Repository, directory: Path) -> Result<Vec<(ObjectName, Timestamp)>> {
    let listed: Result<Vec<_>, _> = repository.storage().store().list(Some(&directory)).try_collect().await;
    let listed = listed.map_err(repository.failed("list", "the markers of backups in progress"))?;
    Ok(listed.iter().map(|meta| (ObjectName::parse(meta.location.as_ref()), touched(meta))).collect())
}
