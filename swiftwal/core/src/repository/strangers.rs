//! Backups whose commit record isn't theirs: one that was copied here from another repository, or under another name.
//! They are no backups of this repository, so they aren't counted, restored or removed.

use futures::{StreamExt, stream};

use crate::{
    error::{Error, Result},
    repository::{Repository, inventory::Inventory, key::BackupKey, record::BackupRecord},
};

/// How many records are read at a time.
const CONCURRENT_READS: usize = 8;

impl Repository {
    /// Moves the backups whose commit record isn't theirs from `inventory.backups` to `inventory.strangers`.
    ///
    /// # Errors
    /// The first record that can't be judged, after all others were: the storage failed, or a newer version wrote it.
    /// A damaged record stays, and is an error of whatever needs it.
    pub async fn set_strangers_aside(&self, inventory: &mut Inventory) -> Result<()> {
        let ours = self.system_identifier().await?;
        let keys: Vec<_> =
            inventory.backups.iter().filter(|backup| !backup.legacy).map(|backup| backup.key).collect();
        let judged = keys.into_iter().map(|key| async move { (key, self.judge(key, ours).await) });
        let judged: Vec<_> = stream::iter(judged).buffered(CONCURRENT_READS).collect().await;
        let mut outcome = Ok(());
        for (key, judgement) in judged {
            match judgement {
                Ok(()) | Err(Error::Damaged { .. }) => {}
                Err(Error::Stranger { object, reason }) => {
                    inventory.strangers.push(Error::Stranger { object, reason }.to_string());
                    inventory.backups.retain(|backup| backup.key != key);
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// Refuses a commit record that isn't that of `key`, or of another cluster than `ours`. A record that has gone
    /// meanwhile is no stranger's.
    async fn judge(&self, key: BackupKey, ours: Option<u64>) -> Result<()> {
        let name = BackupRecord::object_name(key);
        let Some(bytes) = self.read(&name).await? else { return Ok(()) };
        self.refuse_stranger(&BackupRecord::from_bytes(key, &bytes)?, ours)
    }

    /// Refuses a record of another cluster than `ours`, where that is known.
    pub(crate) fn refuse_stranger(&self, record: &BackupRecord, ours: Option<u64>) -> Result<()> {
        match ours {
            Some(ours) if ours != record.system_identifier => Err(Error::Stranger {
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
