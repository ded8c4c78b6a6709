//! The marker of a backup in progress: it claims the key, keeps prune and sweep off, and shows who died where.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{PutMode, path::Path};
use serde::{Deserialize, Serialize};
use swiftwal_postgres::{BackupLabel, Lsn, SegmentName};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::unless;
use crate::{
    BackupKey, BackupPart, BackupRecord, Error, ObjectName, Repository, Result,
    inventory::{StoredObject, touched},
    layout::UPLOADING,
    legacy,
};

/// How often a live marker is written anew, so that its age tells the living from the dead.
const HEARTBEAT: Duration = Duration::from_secs(600);
/// How many keys are tried before somebody must be going wrong.
const TRIES: u32 = 60;
/// How often, a second apart, one looks whether somebody else's claim to our key stays.
const LOOKS: u32 = 10;

/// What a marker says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MarkerContent {
    /// The machine.
    host: String,
    /// The process on it.
    pid: u32,
    /// When it began.
    started: Timestamp,
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
    /// Held while it is written, so that an older content never comes last.
    content: Mutex<MarkerContent>,
    /// Whether the commit record may come to exist at any moment, even after it was given up: a request can be late.
    record_is_sent: AtomicBool,
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
            let alone = match claim.begin().await {
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
        let content = MarkerContent {
            host: host(),
            pid: std::process::id(),
            started,
            first_wal: None,
            start_lsn: None,
        };
        let (id, content) = (Uuid::new_v4(), Mutex::new(content));
        Self { repository, key, started, id, content, record_is_sent: AtomicBool::new(false) }
    }

    fn name(&self) -> ObjectName {
        ObjectName::Marker { claim: self.key.to_string(), id: self.id.to_string() }
    }

    /// Writes the marker for the first time.
    async fn begin(&self) -> Result<()> {
        let content = self.content.lock().await;
        let (name, bytes) = (self.name(), self.bytes(&content)?);
        self.repository.put_new(&name, bytes.into()).await
    }

    fn bytes(&self, content: &MarkerContent) -> Result<Vec<u8>> {
        serde_json::to_vec(content).map_err(|error| Error::damaged(self.name(), error))
    }

    /// Writes the marker with what `change` does to it. What couldn't be written hasn't changed.
    async fn write(&self, change: impl FnOnce(&mut MarkerContent) + Send) -> Result<()> {
        let name = self.name();
        let mut content = self.content.lock().await;
        let mut changed = content.clone();
        change(&mut changed);
        let bytes = self.bytes(&changed)?;
        self.repository.put(&name, bytes.into(), PutMode::Overwrite).await?;
        *content = changed;
        Ok(())
    }

    /// Whether nobody else claims the key, and no backup has it. Two that claim it at once both find each other,
    /// since each writes its marker before it looks.
    async fn is_alone(&self) -> Result<bool> {
        let [record, legacy] =
            [BackupPart::Record, BackupPart::Legacy].map(|part| ObjectName::Backup { key: self.key, part });
        let (markers, record, legacy) = tokio::try_join!(
            all_markers(self.repository),
            self.repository.size(&record),
            self.repository.size(&legacy),
        )?;
        // SwiftWAL 0.2.2 at the same minute would write its label over ours.
        let claims = [self.key.to_string(), legacy::object(self.key).to_string()];
        let is_rival = |(name, _): &(ObjectName, Timestamp)| {
            matches!(name, ObjectName::Marker { claim, .. } if claims.contains(claim)) && *name != self.name()
        };
        Ok(!markers.iter().any(is_rival) && record.is_none() && legacy.is_none())
    }

    /// Nothing, if the key is still ours alone. Asked before anything gets its name: where a listing lagged behind
    /// at the start, two may have taken the same key.
    ///
    /// Who comes later finds the key taken and goes on to the next; until then, for a few requests, there is a marker
    /// of theirs. So only one that stays counts.
    pub(crate) async fn ensure_alone(&self) -> Result<()> {
        for look in 1..=LOOKS {
            if self.is_alone().await? {
                return Ok(());
            }
            if look < LOOKS {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let (key, location) = (self.key, self.repository.location());
        Err(Error::Refused(format!(
            "somebody else makes a backup {key} in {location} too; this one was given up"
        )))
    }

    /// Tells prune which WAL this backup is going to need.
    pub(crate) async fn begin_at(&self, label: &BackupLabel) -> Result<()> {
        let change = |content: &mut MarkerContent| {
            content.first_wal = Some(label.start_segment());
            content.start_lsn = Some(label.start_lsn());
        };
        self.write(change).await
    }

    /// Takes note that the commit record is about to be sent.
    pub(crate) fn note_record_sent(&self) {
        self.record_is_sent.store(true, Ordering::Relaxed);
    }

    /// Shows, as long as it is polled, that this backup is alive. A failure is no reason to give up: the next one
    /// comes long before anybody takes the marker for dead.
    pub(crate) async fn keep_alive(&self) -> Infallible {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if let Err(error) = self.write(|_| {}).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the marker of the backup couldn't be renewed, which is tried again"
                );
            }
        }
    }

    /// Gives the key back after the commit, unless `stop` is ready before that is done. A marker that stays is swept
    /// later: the backup stands in any case.
    pub(crate) async fn release(self, stop: impl Future<Output = ()> + Send) {
        let name = self.name();
        if let Err(error) = unless(stop, self.repository.delete(&name)).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the backup is complete, but its marker {name} stays"
            );
        }
    }

    /// Removes what was stored under the key, then the marker. What can't be removed now is swept later.
    pub(crate) async fn abandon(self) {
        let key = self.key;
        if self.record_is_sent.load(Ordering::Relaxed) {
            tracing::warn!("the backup {key} may or may not have been committed; list-backups tells");
        } else if let Err(error) = self.remove().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what the backup {key} left is to be swept by a later prune"
            );
        }
    }

    async fn remove(&self) -> Result<()> {
        let Self { repository, key, .. } = *self;
        if repository.size(&BackupRecord::object_name(key)).await?.is_none() {
            let listed = repository.list().await?.unwrap_or_default().uncommitted.remove(&key);
            let objects = listed.map(|found| found.objects).into_iter().flatten();
            repository.delete_all(objects.map(|StoredObject { name, .. }| name)).await?;
        }
        repository.delete(&self.name()).await
    }
}

/// The markers that claim `name`, a key or the object of a backup of SwiftWAL 0.2.2, and when each was last written.
pub(crate) async fn markers(
    repository: &Repository,
    name: impl ToString + Send,
) -> Result<Vec<(ObjectName, Timestamp)>> {
    list_markers(repository, Path::from_iter([UPLOADING.to_owned(), name.to_string()])).await
}

/// Those of every backup in progress.
async fn all_markers(repository: &Repository) -> Result<Vec<(ObjectName, Timestamp)>> {
    list_markers(repository, Path::from(UPLOADING)).await
}

async fn list_markers(repository: &Repository, directory: Path) -> Result<Vec<(ObjectName, Timestamp)>> {
    let listed: Result<Vec<_>, _> = repository.storage().store().list(Some(&directory)).try_collect().await;
    let listed = listed.map_err(repository.failed("list", "the markers of backups in progress"))?;
    Ok(listed.iter().map(|meta| (ObjectName::parse(meta.location.as_ref()), touched(meta))).collect())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{Storage, SystemClock};

    fn repository() -> Repository {
        Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock))
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_claim_writes_its_marker_anew_every_ten_minutes() {
        let repository = repository();
        let claim = Claim::take(&repository).await.unwrap();
        for _ in 0..3 {
            repository.delete(&claim.name()).await.unwrap();
            let ten_minutes = tokio::time::sleep(HEARTBEAT + Duration::from_secs(1));
            tokio::select! {
                never = claim.keep_alive() => match never {},
                () = ten_minutes => {}
            }
            assert!(repository.size(&claim.name()).await.unwrap().is_some());
        }
    }

    /// What is there of a claim that stored its label and was abandoned.
    async fn abandoned(claim: Claim<'_>) -> [bool; 2] {
        let repository = claim.repository;
        let (label, marker) = (ObjectName::Backup { key: claim.key, part: BackupPart::Label }, claim.name());
        repository.put(&label, "label".into(), PutMode::Create).await.unwrap();
        claim.abandon().await;
        [repository.size(&label).await.unwrap().is_some(), repository.size(&marker).await.unwrap().is_some()]
    }

    #[tokio::test]
    async fn what_may_have_been_committed_is_not_removed_by_who_gave_up() {
        let repository = repository();
        let claim = Claim::take(&repository).await.unwrap();
        claim.note_record_sent();
        assert_eq!(abandoned(claim).await, [true, true]);
    }

    #[tokio::test]
    async fn what_was_not_being_committed_is_removed_with_its_marker() {
        let repository = repository();
        let claim = Claim::take(&repository).await.unwrap();
        assert_eq!(abandoned(claim).await, [false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_somebody_else_claims_later_is_ours_alone_no_more() {
        let repository = repository();
        let claim = Claim::take(&repository).await.unwrap();
        claim.ensure_alone().await.unwrap();
        let other = ObjectName::Marker { claim: claim.key.to_string(), id: "other".to_owned() };
        repository.put(&other, "{}".into(), PutMode::Create).await.unwrap();
        assert!(claim.ensure_alone().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_a_key_taken_and_goes_on_does_not_end_the_backup_that_has_it() {
        let repository = repository();
        let claim = Claim::take(&repository).await.unwrap();
        let passing = ObjectName::Marker { claim: claim.key.to_string(), id: "passing".to_owned() };
        repository.put(&passing, "{}".into(), PutMode::Create).await.unwrap();
        let goes_on = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            repository.delete(&passing).await.unwrap();
        };
        let (alone, ()) = futures::join!(claim.ensure_alone(), goes_on);
        alone.unwrap();
    }
}
