//! Backups with the commit record of another one: they were copied here from another repository, or under another name.
//! They aren't backups of this repository, so they aren't counted, restored or removed.

use futures::{FutureExt, StreamExt, stream};

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        cluster::ClusterInfo,
        inventory::{Inventory, StoredBackup},
        objects::CONCURRENT_READS,
        record::BackupRecord,
    },
};

impl Repository {
    /// Reads the commit record of each backup in `inventory.backups`, and returns them in the same order, with None for
    /// a backup of SwiftWAL 0.2.2. Backups with the record of another backup or cluster are moved to
    /// `inventory.foreign` first. `ours` is None if `cluster.json` is missing or can't be read; then the cluster
    /// isn't checked.
    ///
    /// If a record can't be read, the others still are.
    pub async fn read_records(
        &self,
        inventory: &mut Inventory,
        ours: Option<&ClusterInfo>,
    ) -> Vec<Result<Option<BackupRecord>>> {
        let ours = ours.map(|info| info.identity.system_identifier);
        let backups = std::mem::take(&mut inventory.backups);
        let reads: Vec<_> = backups.iter().map(|backup| self.record_of(backup, ours).boxed()).collect();
        let records: Vec<_> = stream::iter(reads).buffered(CONCURRENT_READS).collect().await;
        let mut read = Vec::new();
        for (backup, record) in backups.into_iter().zip(records) {
            match record {
                Err(error @ Error::Foreign { .. }) => inventory.foreign.push(error.in_full()),
                record => {
                    inventory.backups.push(backup);
                    read.push(record);
                }
            }
        }
        read
    }

    async fn record_of(&self, backup: &StoredBackup, ours: Option<u64>) -> Result<Option<BackupRecord>> {
        if backup.legacy {
            return Ok(None);
        }
        let record = self.record_of_any_cluster(backup.key).await?;
        let record = record.ok_or_else(|| self.missing(BackupRecord::object_name(backup.key)))?;
        self.refuse_foreign(&record, ours)?;
        Ok(Some(record))
    }

    /// Refuses a record of another cluster than `ours`, if that is known.
    pub(crate) fn refuse_foreign(&self, record: &BackupRecord, ours: Option<u64>) -> Result<()> {
        match ours {
            Some(ours) if ours != record.system_identifier => Err(Error::Foreign {
                object: BackupRecord::object_name(record.key).to_string(),
                reason: format!(
                    "it is a backup of the PostgreSQL cluster with system identifier {}, and {} belongs to the one \
                     with {ours}",
                    record.system_identifier,
                    self.location()
                ),
            }),
            _ => Ok(()),
        }
    }
}
