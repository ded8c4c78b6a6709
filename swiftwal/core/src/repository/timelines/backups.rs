//! The stored backups in the order in which they are in the WAL: by timeline and LSN, not by a clock.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use swiftwal_postgres::{BackupLabel, Lsn, Timeline};

use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        inventory::{Inventory, StoredBackup},
        key::BackupKey,
        label::label_of,
        objects::CONCURRENT_READS,
        record::BackupRecord,
    },
};

/// A backup in a listing.
#[derive(Debug)]
pub(crate) struct ListedBackup {
    pub(crate) key: BackupKey,
    /// Its position in the WAL. None if nothing readable shows it.
    pub(crate) position: Option<Position>,
    pub(crate) content: Content,
}

/// The outcome of reading the commit record of a listed backup.
#[derive(Debug)]
pub(crate) enum Content {
    /// The backup exists.
    Backup(ChosenBackup),
    /// It is listed but isn't a backup of this repository, for this reason: its commit record is missing, or is that of
    /// another backup or cluster.
    NoBackup(String),
    /// Its commit record is damaged, or written by a newer version.
    Unreadable(Error),
}

/// The position of a backup in the WAL. Positions are ordered by timeline and start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) timeline: Timeline,
    /// The LSN at which recovery from it begins.
    pub(crate) start: Lsn,
    /// The last byte that it needs to become consistent, as far as that is known.
    pub(crate) last: Lsn,
}

impl Position {
    fn of_record(record: &BackupRecord) -> Self {
        // The end is exclusive.
        let last = Lsn(record.stop_lsn.0.saturating_sub(1));
        Self { timeline: record.timeline, start: record.start_lsn, last }
    }

    fn of_label(label: &BackupLabel) -> Self {
        let start = label.start_lsn();
        Self { timeline: label.start_segment().timeline(), start, last: start }
    }
}

impl ListedBackup {
    /// A backup whose commit record was read.
    pub(crate) fn of(backup: ChosenBackup) -> Self {
        let position = backup.record.as_ref().map(Position::of_record);
        Self { key: backup.key, position, content: Content::Backup(backup) }
    }

    /// Returns the backup, if it exists and can be read.
    pub(crate) fn backup(&self) -> Option<&ChosenBackup> {
        match &self.content {
            Content::Backup(backup) => Some(backup),
            Content::NoBackup(_) | Content::Unreadable(_) => None,
        }
    }

    /// Returns the reason why it isn't a backup of this repository, if it isn't.
    pub(crate) fn no_backup(&self) -> Option<&str> {
        match &self.content {
            Content::NoBackup(reason) => Some(reason),
            Content::Backup(_) | Content::Unreadable(_) => None,
        }
    }
}

/// Reads every backup that `inventory` shows, oldest first. A backup of unknown position comes after the one with the
/// previous key.
///
/// # Errors
///
/// Those of the storage. Damaged or missing objects aren't errors here.
pub(crate) async fn read_all(repository: &Repository, inventory: &Inventory) -> Result<Vec<ListedBackup>> {
    let reads: Vec<_> = inventory.backups.iter().map(|stored| read(repository, stored).boxed()).collect();
    let backups: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
    Ok(in_order(backups))
}

/// As [`read_all`], for a caller that has read the commit records, with
/// [`read_records`](Repository::read_records): it goes on after one that can't be read.
///
/// # Errors
///
/// Those of the storage for the labels of backups of SwiftWAL 0.2.2.
pub(crate) async fn with_records(
    repository: &Repository,
    inventory: &Inventory,
    records: Vec<Result<Option<BackupRecord>>>,
) -> Result<Vec<ListedBackup>> {
    let reads = inventory.backups.iter().zip(records).map(|(stored, record)| {
        let key = stored.key;
        async move {
            match record {
                Ok(None) => read_legacy(repository, key).await,
                Ok(record) => Ok(ListedBackup::of(ChosenBackup { key, record })),
                Err(error) => Ok(ListedBackup { key, position: None, content: Content::Unreadable(error) }),
            }
        }
        .boxed()
    });
    let reads: Vec<_> = reads.collect();
    let backups: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).try_collect().await?;
    Ok(in_order(backups))
}

/// Sorts backups that come with the oldest first.
fn in_order(backups: Vec<ListedBackup>) -> Vec<ListedBackup> {
    let mut last_known = None;
    let mut places: Vec<_> = backups
        .into_iter()
        .map(|backup: ListedBackup| {
            last_known = backup.position.or(last_known);
            (last_known, backup)
        })
        .collect();
    places.sort_by_key(|(position, backup)| (*position, backup.key));
    places.into_iter().map(|(_, backup)| backup).collect()
}

async fn read(repository: &Repository, stored: &StoredBackup) -> Result<ListedBackup> {
    let key = stored.key;
    if stored.legacy {
        return read_legacy(repository, key).await;
    }
    let content = match repository.record_if_there(key).await {
        Ok(Some(record)) => return Ok(ListedBackup::of(ChosenBackup { key, record: Some(record) })),
        Ok(None) => Content::NoBackup(vanished(key)),
        Err(error @ Error::Foreign { .. }) => Content::NoBackup(error.in_full()),
        Err(error) if is_of_this_backup(&error) => Content::Unreadable(error),
        Err(error) => return Err(error),
    };
    Ok(ListedBackup { key, position: None, content })
}

fn vanished(key: BackupKey) -> String {
    format!(
        "{} is listed but doesn't exist; it was deleted a moment ago, or the storage has lost it: backup {key} isn't counted, \
         and the rest of it is kept",
        BackupRecord::object_name(key)
    )
}

async fn read_legacy(repository: &Repository, key: BackupKey) -> Result<ListedBackup> {
    let backup = ChosenBackup { key, record: None };
    let position = match label_of(repository, &backup).await {
        Ok(label) => Some(Position::of_label(&label)),
        Err(error) if is_of_this_backup(&error) => None,
        Err(error) => return Err(error),
    };
    Ok(ListedBackup { key, position, content: Content::Backup(backup) })
}

/// Whether the error concerns the objects of one backup, and not the storage.
fn is_of_this_backup(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Refused)
}
