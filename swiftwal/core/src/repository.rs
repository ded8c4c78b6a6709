//! A repository: the objects of one PostgreSQL cluster, read and written by name.

pub(crate) mod ahead_marks;
pub(crate) mod backup;
pub(crate) mod backup_removal;
pub(crate) mod backup_tree;
pub(crate) mod canary;
pub(crate) mod chain;
pub(crate) mod chain_start;
pub(crate) mod choice;
pub(crate) mod clocks;
pub(crate) mod cluster;
pub(crate) mod completeness;
pub(crate) mod decimal;
pub(crate) mod fetch;
pub(crate) mod file_check;
pub(crate) mod file_names;
pub(crate) mod file_threads;
pub(crate) mod foreign_records;
pub(crate) mod gap;
pub(crate) mod history;
pub(crate) mod identity;
pub(crate) mod index;
pub(crate) mod indexed_members;
pub(crate) mod inventory;
pub(crate) mod key;
pub(crate) mod label;
pub(crate) mod layout;
pub(crate) mod legacy;
pub(crate) mod legacy_leftovers;
mod listing;
pub(crate) mod manifest;
pub(crate) mod markers;
pub(crate) mod member_name;
pub(crate) mod needs;
mod objects;
pub(crate) mod only_itself;
pub(crate) mod parts;
pub(crate) mod pin;
pub(crate) mod preflight;
pub(crate) mod proof;
pub(crate) mod record;
pub(crate) mod requirements;
pub(crate) mod running;
pub(crate) mod seen;
pub(crate) mod segment_check;
pub(crate) mod staged_wal;
pub(crate) mod store_once;
pub(crate) mod stored_json;
pub(crate) mod timelines;
pub(crate) mod wal;
mod wal_archiving;
mod wal_comparison;
pub(crate) mod wal_file;
pub(crate) mod wal_frames;
pub(crate) mod wal_received;
pub(crate) mod wal_removal;
pub(crate) mod wal_variant;

use std::sync::{Arc, OnceLock};

use crate::{
    error::{Error, ErrorKind, Result},
    local::clock::Clock,
    repository::{cluster::ClusterInfo, key::BackupKey, record::BackupRecord},
    storage::Storage,
};

pub(crate) use self::objects::{PutOutcome, object_pieces, path};

/// The stored base backups and WAL of one PostgreSQL cluster.
///
/// Cheap to clone: clones share the storage.
#[derive(Clone, Debug)]
pub struct Repository {
    storage: Storage,
    location: Arc<str>,
    clock: Arc<dyn Clock>,
    /// What `cluster.json` contained when it was first read. None if it couldn't be understood.
    first_read: Arc<OnceLock<Option<ClusterInfo>>>,
    anew: bool,
}

impl Repository {
    /// Creates a repository in `storage`. Messages name it `location`, which must not contain a secret.
    pub fn new(storage: Storage, location: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self { storage, location: location.into().into(), clock, first_read: Arc::default(), anew: false }
    }

    /// Sets whether archive-wal and backup may start a new repository where this machine has seen one that has
    /// vanished.
    #[must_use]
    pub fn starting_anew(self, anew: bool) -> Self {
        Self { anew, ..self }
    }

    /// Returns its name in messages.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Returns the storage.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Reads the commit record of a backup.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBackup`] if there is none, [`Error::Damaged`], [`Error::NewerFormat`], [`Error::NotUnderstood`],
    /// and [`Error::Foreign`] if it is the record of another backup or cluster.
    pub async fn record(&self, key: BackupKey) -> Result<BackupRecord> {
        match self.record_if_there(key).await? {
            Some(record) => Ok(record),
            None => Err(self.unknown_backup(key).await),
        }
    }

    /// Reads the commit record of a backup. None if it is proven to be missing.
    pub(crate) async fn record_if_there(&self, key: BackupKey) -> Result<Option<BackupRecord>> {
        let Some(record) = self.record_of_any_cluster(key).await? else { return Ok(None) };
        self.refuse_foreign(&record, self.system_identifier().await?)?;
        Ok(Some(record))
    }

    /// As [`record_if_there`](Self::record_if_there), without checking that it is a backup of this repository's
    /// cluster.
    pub(crate) async fn record_of_any_cluster(&self, key: BackupKey) -> Result<Option<BackupRecord>> {
        let bytes = self.read(&BackupRecord::object_name(key)).await?;
        bytes.map(|bytes| BackupRecord::from_bytes(key, &bytes)).transpose()
    }

    /// The error for a backup that doesn't exist, with those that do.
    pub(crate) async fn unknown_backup(&self, wanted: impl ToString + Send) -> Error {
        let keys: Vec<_> = match self.inventory().await {
            Ok(inventory) => inventory.backups.iter().map(|backup| backup.key.to_string()).collect(),
            Err(error) if error.kind() == ErrorKind::Failed => {
                let (wanted, location) = (wanted.to_string(), self.location.to_string());
                return Error::UnknownBackup {
                    wanted,
                    location,
                    hint: format!("the list of backups can't be read: {}", error.in_full()),
                };
            }
            Err(error) => return error,
        };
        let location = self.location.to_string();
        let hint = match keys.as_slice() {
            [] => return Error::NoBackup { location },
            [only] => format!("there is {only}"),
            [oldest, .., newest] => {
                format!("there are {}, from {oldest} to {newest}; see list-backups", keys.len())
            }
        };
        Error::UnknownBackup { wanted: wanted.to_string(), location, hint }
    }
}
