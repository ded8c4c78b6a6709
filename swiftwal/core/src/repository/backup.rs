//! A backup of the repository.

use crate::{
    error::Result,
    repository::{
        Repository, inventory::Inventory, key::BackupKey, layout::ObjectName, legacy, record::BackupRecord,
    },
};

/// A backup that exists.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChosenBackup {
    /// Its name.
    pub key: BackupKey,
    /// Its commit record; none for a backup of SwiftWAL 0.2.2.
    pub record: Option<BackupRecord>,
}

impl ChosenBackup {
    /// Returns a backup that `inventory` shows.
    pub(crate) async fn listed(
        repository: &Repository,
        inventory: &Inventory,
        key: BackupKey,
    ) -> Result<Self> {
        let legacy = inventory.backups.iter().any(|backup| backup.key == key && backup.legacy);
        let record = if legacy { None } else { Some(repository.record(key).await?) };
        Ok(Self { key, record })
    }

    /// Returns the backup `key`. Only a backup without a commit record needs a listing.
    pub(crate) async fn by_key(repository: &Repository, key: BackupKey) -> Result<Self> {
        if let Some(record) = repository.record_if_there(key).await? {
            return Ok(Self { key, record: Some(record) });
        }
        let is_legacy = match repository.inventory().await {
            Ok(inventory) => inventory.backups.iter().any(|backup| backup.key == key && backup.legacy),
            Err(_) => legacy::is_there(repository, key).await?,
        };
        if is_legacy { Ok(Self { key, record: None }) } else { Err(repository.unknown_backup(key).await) }
    }

    /// Returns the single object of a backup of SwiftWAL 0.2.2.
    pub(crate) fn legacy_object(&self) -> ObjectName {
        ObjectName::legacy_backup(self.key)
    }
}
