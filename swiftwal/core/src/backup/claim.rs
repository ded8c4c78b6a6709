//! The marker of a backup in progress: it claims the key, keeps prune and sweep off, and shows who died where.

use std::time::Duration;

use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::{ObjectMeta, PutMode};
use serde::{Deserialize, Serialize};
use swiftwal_postgres::{BackupLabel, Lsn, SegmentName};
use uuid::Uuid;

use crate::{
    BackupKey, BackupPart, Error, ObjectName, Repository, Result, inventory::StoredObject, layout::UPLOADING,
};

/// How often a live marker is written anew, so that its age tells the living from the dead.
const HEARTBEAT: SignedDuration = SignedDuration::from_mins(10);
/// How many keys are tried before somebody must be going wrong.
const TRIES: u32 = 60;

/// What a marker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
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

/// The right to write one backup.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    repository: &'a Repository,
    pub(crate) key: BackupKey,
    pub(crate) started: Timestamp,
    id: Uuid,
    content: MarkerContent,
    touched: Timestamp,
}

impl<'a> Claim<'a> {
    /// Claims a key for a backup started now: that of the minute, or where that is taken, of a second.
    pub(crate) async fn take(repository: &'a Repository) -> Result<Self> {
        let started = repository.clock().now();
        let seconds = (0..TRIES).map(|later| started + Duration::from_secs(later.into()));
        let keys =
            std::iter::once(BackupKey::to_the_minute(started)).chain(seconds.map(BackupKey::to_the_second));
        for key in keys {
            let claim = Self::new(repository, key, started);
            let alone = match claim.write().await {
                Ok(()) => claim.is_alone().await,
                Err(error) => Err(error),
            };
            if let Ok(true) = alone {
                return Ok(claim);
            }
            // Even if it couldn't be written: the storage may have done it, and only the answer been lost.
            let deleted = repository.delete(&claim.name()).await;
            alone.and(deleted)?;
        }
        Err(Error::Refused(format!(
            "every key from {} on is taken; other backups into {} are being started at the same time",
            BackupKey::to_the_minute(started),
            repository.location(),
        )))
    }

    fn new(repository: &'a Repository, key: BackupKey, started: Timestamp) -> Self {
        let (host, pid) = me();
        let content = MarkerContent { host, pid, started, first_wal: None, start_lsn: None };
        Self { repository, key, started, id: Uuid::new_v4(), content, touched: started }
    }

    fn name(&self) -> ObjectName {
        ObjectName::Marker { claim: self.key.to_string(), id: self.id.to_string() }
    }

    async fn write(&self) -> Result<()> {
        let name = self.name();
        let bytes = serde_json::to_vec(&self.content).map_err(|error| Error::damaged(&name, error))?;
        self.repository.put(&name, bytes.into(), PutMode::Overwrite).await.map(drop)
    }

    /// Whether nobody else claims the key, and no backup has it. Two that claim it at once both find each other,
    /// since each writes its marker before it looks.
    async fn is_alone(&self) -> Result<bool> {
        if markers(self.repository, self.key).await?.len() > 1 {
            return Ok(false);
        }
        for part in [BackupPart::Record, BackupPart::Legacy] {
            if self.repository.size(&ObjectName::Backup { key: self.key, part }).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Tells prune which WAL this backup is going to need.
    pub(crate) async fn begin_at(&mut self, label: &BackupLabel) -> Result<()> {
        self.content.first_wal = Some(label.start_segment());
        self.content.start_lsn = Some(label.start_lsn());
        self.touch().await
    }

    /// Shows, every now and then, that this backup is alive.
    pub(crate) async fn keep_alive(&mut self) -> Result<()> {
        if self.repository.clock().now().duration_since(self.touched) < HEARTBEAT {
            return Ok(());
        }
        self.touch().await
    }

    async fn touch(&mut self) -> Result<()> {
        self.write().await?;
        self.touched = self.repository.clock().now();
        Ok(())
    }
}

impl Claim<'_> {
    /// Gives the key back after the commit. A marker that stays is swept later: the backup stands in any case.
    pub(crate) async fn release(self) {
        if let Err(error) = self.repository.delete(&self.name()).await {
            tracing::warn!("the backup is complete, but its marker {} stays: {error}", self.name());
        }
    }

    /// Removes what was stored under the key, then the marker. What can't be removed now is swept later.
    pub(crate) async fn abandon(self) {
        if let Err(error) = remove(self.repository, self.key, self.name()).await {
            tracing::warn!(
                "what the failed backup {} left is to be swept by a later prune: {error}",
                self.key
            );
        }
    }
}

/// Removes what a backup of this process left under `key` when its future was dropped before the commit.
///
/// # Errors
/// Those of the storage; a later prune sweeps what stays.
pub async fn abandon(repository: &Repository, key: BackupKey) -> Result<()> {
    let (host, pid) = me();
    for (marker, _) in markers(repository, key).await? {
        let Some(bytes) = repository.read(&marker).await? else { continue };
        let ours = serde_json::from_slice(&bytes)
            .is_ok_and(|content: MarkerContent| content.host == host && content.pid == pid);
        if ours {
            remove(repository, key, marker).await?;
        }
    }
    Ok(())
}

/// Removes the objects of a backup that was never committed, its marker last.
async fn remove(repository: &Repository, key: BackupKey, marker: ObjectName) -> Result<()> {
    let record = ObjectName::Backup { key, part: BackupPart::Record };
    if repository.size(&record).await?.is_none() {
        let objects = repository.inventory().await?.uncommitted.remove(&key).unwrap_or_default();
        repository.delete_all(objects.into_iter().map(|StoredObject { name, .. }| name)).await?;
    }
    repository.delete(&marker).await
}

/// The markers that claim `key`, and when each was last written.
pub(crate) async fn markers(repository: &Repository, key: BackupKey) -> Result<Vec<(ObjectName, Timestamp)>> {
    let directory = object_store::path::Path::from_iter([UPLOADING.to_owned(), key.to_string()]);
    let listed: Result<Vec<_>, _> = repository.storage().store().list(Some(&directory)).try_collect().await;
    let listed = listed.map_err(repository.failed("list", "the markers of backups in progress"))?;
    let marker = |object: &ObjectMeta| {
        let touched = Timestamp::from_second(object.last_modified.timestamp()).unwrap_or(Timestamp::MIN);
        (ObjectName::parse(object.location.as_ref()), touched)
    };
    Ok(listed.iter().map(marker).collect())
}

fn me() -> (String, u32) {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    (host, std::process::id())
}
