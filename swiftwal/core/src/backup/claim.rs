//! The claim of a backup in progress to its key: an object of a fixed name, which only one process can hold, and a marker
//! that keeps prune away and shows where a process crashed.
//!
//! Listings may lag behind, so no listing decides who has a key: the claim object is created only where it is missing, and
//! read back. A process that stood still for longer than prune waits finds its claim gone, and commits nothing.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use object_store::PutMode;
use serde::{Deserialize, Serialize};
use swiftwal_postgres::BackupLabel;
use tokio::{sync::Mutex, time::Instant};
use uuid::Uuid;

use super::unless;
use crate::{
    backup::server_clock::signed,
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        inventory::StoredObject,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        markers::{CLAIM_ID, MarkerContent, all_markers},
        record::BackupRecord,
    },
};

/// The interval at which a running backup rewrites its marker, so that its age shows whether the backup is running.
const HEARTBEAT: Duration = Duration::from_secs(600);
/// The number of keys that are tried before the claim fails.
const TRIES: u32 = 60;
/// The number of looks, a second apart, at whether another process's claim to our key stays.
const LOOKS: u32 = 10;

/// What a claim object says.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    /// The id of the holder's marker.
    id: String,
    /// The machine.
    host: String,
    /// The process on it.
    pid: u32,
}

/// Whose a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    Ours,
    Anothers,
}

/// The right to write one backup.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    repository: &'a Repository,
    pub(crate) key: BackupKey,
    /// When it was claimed, by the storage's clock, and by ours that can't be set.
    taken: (Timestamp, Instant),
    id: Uuid,
    /// Held while it is written, so that an older content never comes last.
    content: Mutex<MarkerContent>,
    /// Whether the commit record may come to exist at any moment, even after it was given up: a request can be late.
    record_is_sent: AtomicBool,
}

impl<'a> Claim<'a> {
    /// Claims a key for a backup started now, which is `started` by the storage's clock: that of the minute, or where that
    /// is taken, of a second.
    pub(crate) async fn take(repository: &'a Repository, started: Timestamp) -> Result<Self> {
        let seconds = (0..TRIES).map(|later| started + Duration::from_secs(later.into()));
        let keys =
            std::iter::once(BackupKey::to_the_minute(started)).chain(seconds.map(BackupKey::to_the_second));
        for key in keys {
            let claim = Self::new(repository, key, started);
            let taken = claim.take_key().await;
            if let Ok(true) = taken {
                return Ok(claim);
            }
            // Even if it couldn't be written: the storage may have done it, and only the answer been lost.
            let given_back = claim.give_back().await;
            taken.and(given_back)?;
        }
        let what = format!(
            "every key from {} on is taken; other backups into {} are being started at the same time",
            BackupKey::to_the_minute(started),
            repository.location(),
        );
        Err(Refusal::Overtaken { what, hint: None }.into())
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
        let taken = (started, Instant::now());
        Self { repository, key, taken, id, content, record_is_sent: AtomicBool::new(false) }
    }

    fn name(&self) -> ObjectName {
        ObjectName::Marker { claim: self.key.to_string(), id: self.id.to_string() }
    }

    fn claim_name(&self) -> ObjectName {
        ObjectName::Marker { claim: self.key.to_string(), id: CLAIM_ID.to_owned() }
    }

    /// The storage's time of now.
    pub(crate) fn storage_now(&self) -> Timestamp {
        let (then, since) = self.taken;
        then + signed(since.elapsed())
    }

    /// Whether the key could be taken.
    async fn take_key(&self) -> Result<bool> {
        if !self.create_claim().await? {
            return Ok(false);
        }
        self.begin().await?;
        self.is_alone().await
    }

    /// Creates the claim object. Returns whether the claim is ours: on some storage two may be told that theirs was stored.
    async fn create_claim(&self) -> Result<bool> {
        let holder = Holder { id: self.id.to_string(), host: host(), pid: std::process::id() };
        let name = self.claim_name();
        let bytes = serde_json::to_vec(&holder).map_err(|error| Error::damaged(&name, error))?;
        self.repository.put(&name, bytes.into(), PutMode::Create).await?;
        Ok(self.holder().await? == Some(Holding::Ours))
    }

    /// Whose the key is; none where there is no claim object.
    async fn holder(&self) -> Result<Option<Holding>> {
        let Some(bytes) = self.repository.read(&self.claim_name()).await? else { return Ok(None) };
        // What can't be read is not what we wrote.
        let is_ours =
            serde_json::from_slice(&bytes).is_ok_and(|holder: Holder| holder.id == self.id.to_string());
        Ok(Some(if is_ours { Holding::Ours } else { Holding::Anothers }))
    }

    /// Removes the claim object, if it is ours, then the marker.
    async fn give_back(&self) -> Result<()> {
        if self.holder().await? == Some(Holding::Ours) {
            self.repository.delete(&self.claim_name()).await?;
        }
        self.repository.delete(&self.name()).await
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
        let claims = [self.key.to_string(), ObjectName::legacy_backup(self.key).to_string()];
        let is_rival = |(name, _): &(ObjectName, Timestamp)| {
            let is_of_key = matches!(name, ObjectName::Marker { claim, .. } if claims.contains(claim));
            // Whose the claim object is shows in its content.
            is_of_key && *name != self.name() && *name != self.claim_name()
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
            self.ensure_held().await?;
            if self.is_alone().await? {
                return Ok(());
            }
            if look < LOOKS {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Err(self.taken_by_another())
    }

    /// Fails unless the claim object is still ours. Called right before the commit, too: a process that was suspended for
    /// longer than a day counts as crashed, and prune has removed what it stored.
    pub(crate) async fn ensure_held(&self) -> Result<()> {
        match self.holder().await? {
            Some(Holding::Ours) => Ok(()),
            Some(Holding::Anothers) => Err(self.taken_by_another()),
            None => Err(self.lost().into()),
        }
    }

    fn lost(&self) -> Refusal {
        let what = format!(
            "the claim of backup {} in {} is gone: this process was suspended for more than a day, and prune has removed what \
             it had stored",
            self.key,
            self.repository.location()
        );
        Refusal::overtaken(what, "take the backup again")
    }

    fn taken_by_another(&self) -> Error {
        let (key, location) = (self.key, self.repository.location());
        let what = format!("another process is writing backup {key} in {location}; this one was abandoned");
        Refusal::overtaken(what, "take it again").into()
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
                    "the marker of the backup couldn't be renewed; trying again"
                );
            }
        }
    }

    /// Gives the key back after the commit, unless `stop` is ready before that is done. A marker that stays is swept
    /// later: the backup stands in any case.
    pub(crate) async fn release(self, stop: impl Future<Output = ()> + Send) {
        if let Err(error) = unless(stop, self.give_back()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the backup is complete, but its marker {} remains until prune removes it",
                self.name()
            );
        }
    }

    /// Removes what was stored under the key, then the marker. What can't be removed now is swept later.
    pub(crate) async fn abandon(self) {
        let key = self.key;
        if self.record_is_sent.load(Ordering::Relaxed) {
            tracing::warn!("the backup {key} may or may not have been committed; check with list-backups");
        } else if let Err(error) = self.remove().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "what the backup {key} left is for a later prune to remove"
            );
        }
    }

    async fn remove(&self) -> Result<()> {
        let Self { repository, key, .. } = *self;
        // What lies under a key that another process holds is that one's.
        let is_anothers = self.holder().await? == Some(Holding::Anothers);
        if !is_anothers && repository.size(&BackupRecord::object_name(key)).await?.is_none() {
            let listed = repository.list().await?.unwrap_or_default().uncommitted.remove(&key);
            let objects = listed.map(|found| found.objects).into_iter().flatten();
            repository.delete_all(objects.map(|StoredObject { name, .. }| name)).await?;
        }
        self.give_back().await
    }
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::{local::clock::SystemClock, storage::Storage};

    fn repository() -> Repository {
        Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock))
    }

    async fn take(repository: &Repository) -> Result<Claim<'_>> {
        Claim::take(repository, repository.clock().now()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_claim_writes_its_marker_anew_every_ten_minutes() {
        let repository = repository();
        let claim = take(&repository).await.unwrap();
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
        let claim = take(&repository).await.unwrap();
        claim.note_record_sent();
        assert_eq!(abandoned(claim).await, [true, true]);
    }

    #[tokio::test]
    async fn what_was_not_being_committed_is_removed_with_its_marker() {
        let repository = repository();
        let claim = take(&repository).await.unwrap();
        assert_eq!(abandoned(claim).await, [false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_somebody_else_claims_later_is_ours_alone_no_more() {
        let repository = repository();
        let claim = take(&repository).await.unwrap();
        claim.ensure_alone().await.unwrap();
        let other = ObjectName::Marker { claim: claim.key.to_string(), id: "other".to_owned() };
        repository.put(&other, "{}".into(), PutMode::Create).await.unwrap();
        assert!(claim.ensure_alone().await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_a_key_taken_and_goes_on_does_not_end_the_backup_that_has_it() {
        let repository = repository();
        let claim = take(&repository).await.unwrap();
        let passing = ObjectName::Marker { claim: claim.key.to_string(), id: "passing".to_owned() };
        repository.put(&passing, "{}".into(), PutMode::Create).await.unwrap();
        let goes_on = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            repository.delete(&passing).await.unwrap();
        };
        let (alone, ()) = futures::join!(claim.ensure_alone(), goes_on);
        alone.unwrap();
    }

    #[tokio::test]
    async fn a_key_whose_claim_object_is_anothers_is_not_taken_though_no_listing_shows_a_marker() {
        let repository = repository();
        let first = take(&repository).await.unwrap();
        // As where the listing lags behind.
        repository.delete(&first.name()).await.unwrap();
        let second = take(&repository).await.unwrap();
        assert_ne!(first.key, second.key);
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_was_swept_or_is_anothers_by_now_is_not_committed() {
        let repository = repository();
        let claim = take(&repository).await.unwrap();
        claim.ensure_held().await.unwrap();
        repository.delete(&claim.claim_name()).await.unwrap();
        let swept = claim.ensure_held().await.unwrap_err().to_string();
        assert!(swept.contains("was suspended for more than a day"), "{swept}");
        let holder = Holder { id: "other".to_owned(), host: "other".to_owned(), pid: 1 };
        let holder = serde_json::to_vec(&holder).unwrap();
        repository.put(&claim.claim_name(), holder.into(), PutMode::Create).await.unwrap();
        let taken = claim.ensure_held().await.unwrap_err().to_string();
        assert!(taken.contains("another process is writing"), "{taken}");
        assert_eq!(abandoned(claim).await, [true, false], "what lies there is the other one's");
    }
}
