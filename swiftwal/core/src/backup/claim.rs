//! The claim of a backup in progress to its key: an object with a fixed name, which only one process can hold, and a
//! marker that protects its objects from prune and shows where a process crashed.
//!
//! Listings may lag behind, so no listing decides which process holds a key: the claim object is created only if it is
//! missing, and read back. A process that was suspended for more than a day finds that prune has removed its claim, and
//! commits nothing.

mod claim_object;
mod running_marker;
#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, SegmentName};
use tokio::time::Instant;
use uuid::Uuid;

use self::{
    claim_object::{ClaimObject, Holding},
    running_marker::RunningMarker,
};
use super::{server_clock::signed, unless};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        inventory::StoredObject,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        markers::all_markers,
        record::BackupRecord,
        wal_removal::refuse_while_removed,
    },
};

/// The number of keys that are tried before the claim fails.
const TRIES: u32 = 60;
/// How many times, a second apart, to check whether another process's claim to the key remains.
const LOOKS: u32 = 10;

/// Whether a key could be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Ours,
    /// Another process or a backup has it.
    Anothers,
    /// Another process claims it at the same time.
    Disputed,
}

/// The right to write one backup.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    repository: &'a Repository,
    pub(crate) key: BackupKey,
    /// When it was claimed: by the storage's clock, and by this machine's monotonic clock.
    taken: (Timestamp, Instant),
    object: ClaimObject<'a>,
    marker: RunningMarker<'a>,
    /// Whether the commit record may appear at any moment, even after the backup was abandoned: a request can be
    /// delayed.
    record_is_sent: AtomicBool,
}

impl<'a> Claim<'a> {
    /// Claims a key for a backup that was started at `started`, by the storage's clock: the key of that minute or, if
    /// that is taken, of a second.
    pub(crate) async fn take(repository: &'a Repository, started: Timestamp) -> Result<Self> {
        let seconds = (0..TRIES).map(|later| started + Duration::from_secs(later.into()));
        let keys =
            std::iter::once(BackupKey::to_the_minute(started)).chain(seconds.map(BackupKey::to_the_second));
        for key in keys {
            let claim = Self::new(repository, key, started);
            let taken = claim.take_key().await;
            let given_back = match taken {
                Ok(Taken::Ours) => return Ok(claim),
                // By now the claim object may be that of the other process. A prune removes it after a day.
                Ok(Taken::Disputed) => claim.marker.remove().await,
                // Removed even if it couldn't be written: the storage may have stored it although the response was lost.
                Ok(Taken::Anothers) | Err(_) => claim.give_back().await,
            };
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
        let id = Uuid::new_v4();
        Self {
            repository,
            key,
            taken: (started, Instant::now()),
            object: ClaimObject::new(repository, key, id),
            marker: RunningMarker::new(repository, key, id, started),
            record_is_sent: AtomicBool::new(false),
        }
    }

    /// Returns the storage's current time.
    pub(crate) fn storage_now(&self) -> Timestamp {
        let (then, since) = self.taken;
        then + signed(since.elapsed())
    }

    /// Takes the key, if that is possible.
    ///
    /// On some storages, another process's claim object may replace ours as long as its request began before ours was
    /// stored. Its marker was stored by then: either we find the marker, or the other process has removed it after its
    /// claim object was stored, and we find that.
    ///
    /// Of several processes that claim the key at once, the one with the least id waits until the others have given up, as
    /// long as the claim object is its own. Otherwise all would go on to the next key, and meet there again.
    async fn take_key(&self) -> Result<Taken> {
        self.marker.create().await?;
        self.object.create().await?;
        let (mut rivals, is_free) = tokio::try_join!(self.rivals(), self.is_free())?;
        for _ in 0..LOOKS {
            let is_first = rivals.iter().all(|rival| self.marker.name < *rival);
            if !is_free
                || rivals.is_empty()
                || !is_first
                || self.object.holder().await? != Some(Holding::Ours)
            {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            rivals = self.rivals().await?;
        }
        if !rivals.is_empty() {
            return Ok(Taken::Disputed);
        }
        Ok(match self.object.holder().await? {
            Some(Holding::Ours) if is_free => Taken::Ours,
            _ => Taken::Anothers,
        })
    }

    /// Removes the claim object, if it is ours, then the marker.
    async fn give_back(&self) -> Result<()> {
        self.object.give_back().await?;
        self.marker.remove().await
    }

    /// Returns the markers of other processes that claim the key. Two processes that claim it at once find each other, since
    /// each writes its marker before it looks.
    async fn rivals(&self) -> Result<Vec<ObjectName>> {
        let markers = all_markers(self.repository).await?;
        // SwiftWAL 0.2.2 would overwrite our label if it started in the same minute.
        let claims = [self.key.to_string(), ObjectName::legacy_backup(self.key).to_string()];
        let is_rival = |name: &ObjectName| {
            let is_of_key = matches!(name, ObjectName::Marker { claim, .. } if claims.contains(claim));
            // The content of the claim object shows which process holds the key.
            is_of_key && *name != self.marker.name && *name != self.object.name
        };
        Ok(markers.into_iter().map(|(name, _)| name).filter(is_rival).collect())
    }

    /// Whether no backup has the key.
    async fn is_free(&self) -> Result<bool> {
        let [record, legacy] =
            [BackupPart::Record, BackupPart::Legacy].map(|part| ObjectName::Backup { key: self.key, part });
        let (record, legacy) =
            tokio::try_join!(self.repository.size(&record), self.repository.size(&legacy))?;
        Ok(record.is_none() && legacy.is_none())
    }

    /// Fails unless the key is still ours alone. Called before any object gets its name: if a listing lagged behind at
    /// the start, two processes may have claimed the same key.
    ///
    /// A process that comes later finds the key taken and tries the next one; until then its marker exists, for a few
    /// requests. So only a marker that remains counts.
    pub(crate) async fn ensure_alone(&self) -> Result<()> {
        for look in 1..=LOOKS {
            self.ensure_held().await?;
            let (rivals, is_free) = tokio::try_join!(self.rivals(), self.is_free())?;
            if is_free && rivals.is_empty() {
                return Ok(());
            }
            if look < LOOKS {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        Err(self.taken_by_another())
    }

    /// Fails unless the claim object is still ours. Called right before the commit, too: a process that was suspended
    /// for longer than a day counts as crashed, and prune has removed what it stored.
    pub(crate) async fn ensure_held(&self) -> Result<()> {
        match self.object.holder().await? {
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
        Refusal::overtaken(what, "take the backup again").into()
    }

    /// Records in the marker which WAL this backup will need, for commands that delete, and proves that none of them is
    /// removing it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`] if that WAL is being removed.
    pub(crate) async fn begin_at(&self, first_wal: SegmentName, start_lsn: Lsn) -> Result<()> {
        match self.marker.begin_at(first_wal, start_lsn).await? {
            true => refuse_while_removed(self.repository, first_wal).await,
            false => Ok(()),
        }
    }

    /// Records in the marker which backup this one builds on, for prune, and proves that the parent is still there.
    ///
    /// prune marks the deletion of a backup before it looks for such a marker, and this writes the marker before it looks
    /// for that mark: at least one of the two finds the other.
    ///
    /// # Errors
    ///
    /// [`Refusal::Overtaken`] if the parent is being deleted.
    pub(crate) async fn build_on(&self, parent: BackupKey) -> Result<()> {
        self.marker.build_on(parent).await?;
        self.ensure_parent_stands(parent).await
    }

    /// Fails if the parent is gone, or its deletion has begun. Called again right before the commit.
    pub(crate) async fn ensure_parent_stands(&self, parent: BackupKey) -> Result<()> {
        let (mark, record) = (ObjectName::Deleting(parent), BackupRecord::object_name(parent));
        let (mark, record) = tokio::try_join!(self.repository.size(&mark), self.repository.size(&record))?;
        if mark.is_none() && record.is_some() {
            return Ok(());
        }
        let what = format!(
            "backup {parent} in {}, on which this incremental one builds, was deleted by another process; this one was \
             abandoned",
            self.repository.location()
        );
        Err(Refusal::overtaken(what, "take the backup again").into())
    }

    /// Records that the commit record is about to be sent.
    pub(crate) fn note_record_sent(&self) {
        self.record_is_sent.store(true, Ordering::Relaxed);
    }

    /// Keeps the marker up to date, as long as it is polled.
    pub(crate) async fn keep_alive(&self) -> Infallible {
        self.marker.keep_alive().await
    }

    /// Releases the key after the commit, unless `stop` is ready before that is done. A later prune removes a marker
    /// that remains; the backup exists in any case.
    pub(crate) async fn release(self, stop: impl Future<Output = ()> + Send) {
        // The order matters: prune looks for an abandoned claim only if there is a marker.
        let both = async {
            self.object.give_back().await?;
            self.marker.remove().await
        };
        if let Err(error) = unless(stop, both).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the backup is complete, but its marker {} remains until prune removes it",
                self.marker.name
            );
        }
    }

    /// Removes what was stored under the key, then the marker. A later prune removes the rest.
    pub(crate) async fn abandon(self) {
        let key = self.key;
        if self.record_is_sent.load(Ordering::Relaxed) {
            tracing::warn!("backup {key} may or may not have been committed; check with list-backups");
        } else if let Err(error) = self.remove().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a later prune removes what backup {key} left behind"
            );
        }
    }

    async fn remove(&self) -> Result<()> {
        let Self { repository, key, .. } = *self;
        // The objects belong to the process that holds the key.
        let is_anothers = self.object.holder().await? == Some(Holding::Anothers);
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
