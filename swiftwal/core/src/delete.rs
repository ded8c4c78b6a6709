//! delete: deletes one backup that an administrator names.

use serde::Serialize;

use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        backup_removal::{delete_backup, delete_backups, mark_removals},
        clocks::Liveness,
        inventory::{Inventory, StoredBackup},
        key::BackupKey,
        pin::Pins,
        proof::Proofs,
        running::{Considered, RunningBackup, in_progress},
        timelines::Timelines,
        wal_removal::WalRemoval,
    },
};

/// What deleting a backup removes.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DeletePlan {
    /// The backup.
    #[serde(flatten)]
    pub backup: StoredBackup,
    /// The size of its objects as stored.
    pub bytes: u64,
    /// Notices for the administrator.
    pub notices: Vec<String>,
    /// The backups that the plan takes into account.
    #[serde(skip)]
    considered: Considered,
}

/// Plans the deletion of a backup. It changes nothing.
///
/// # Errors
///
/// [`Refusal::NeededBackup`] if the backup is pinned, if another one builds on it, or if it is the only one that was proven
/// to be restorable. [`Error::UnknownBackup`].
pub async fn plan_delete(repository: &Repository, key: BackupKey) -> Result<DeletePlan> {
    repository.check_before_deleting().await?;
    let inventory = repository.inventory_with_every_record().await?;
    let Some(backup) = inventory.backups.iter().find(|backup| backup.key == key) else {
        return Err(repository.unknown_backup(key).await);
    };
    let mut timelines = Timelines::survey(repository, &inventory).await?;
    timelines.refuse_not_understood()?;
    let (pins, proofs) = tokio::try_join!(repository.pins(&inventory), repository.proofs(&inventory))?;
    let Liveness { now, before, .. } = repository.liveness(&inventory).await;
    let running = in_progress(repository, &inventory.markers, before).await?;
    if pins.keep(key, now) {
        return Err(pinned(key, &pins));
    }
    refuse_foreign(key, &timelines)?;
    refuse_parent(key, &timelines, &running)?;
    refuse_only_proven(key, &inventory, &proofs)?;
    let known = inventory.backups.iter().map(|backup| backup.key).collect();
    Ok(DeletePlan {
        backup: backup.clone(),
        bytes: backup.stored_bytes(),
        notices: notices(key, &inventory),
        considered: Considered { known, now, before },
    })
}

/// Carries out the plan. An interrupted deletion leaves the backup either complete or unlisted; a prune removes the rest.
///
/// # Errors
///
/// [`Refusal::Overtaken`] if a backup was begun meanwhile that builds on this one, or if this one was pinned; those of the
/// storage.
pub async fn delete(repository: &Repository, plan: &DeletePlan) -> Result<()> {
    let (backup, considered) = (&plan.backup, &plan.considered);
    if backup.legacy {
        return delete_backup(repository, backup, considered, false).await;
    }
    let no_wal = WalRemoval::of(&[], Some(considered));
    let is_marked = mark_removals(repository, considered, &[backup], &no_wal).await?;
    delete_backups(repository, considered, &[backup], &no_wal, is_marked).await
}

fn pinned(key: BackupKey, pins: &Pins) -> Error {
    let pin = pins.get(key);
    let until = pin.and_then(|pin| pin.until).map(|until| format!(" until {until}")).unwrap_or_default();
    let reason = pin.and_then(|pin| pin.reason.as_ref()).map(|reason| format!(" ({reason})"));
    let why = format!("it is pinned{until}{}", reason.unwrap_or_default());
    Refusal::needed_backup(key, why, format!("if it is no longer needed, run: swiftwal unkeep {key}")).into()
}

/// Refuses what is listed but isn't a backup of this repository.
fn refuse_foreign(key: BackupKey, timelines: &Timelines) -> Result<()> {
    let listed = timelines.backups.iter().find(|backup| backup.key == key);
    match listed.and_then(|listed| listed.no_backup()) {
        Some(reason) => {
            let hint = "it is left alone; find out where it comes from";
            Err(Refusal::needed_backup(key, reason, hint).into())
        }
        None => Ok(()),
    }
}

/// Refuses a backup on which others build.
fn refuse_parent(key: BackupKey, timelines: &Timelines, running: &[RunningBackup]) -> Result<()> {
    let records = timelines.backups.iter().filter_map(|listed| listed.backup()?.record.as_ref());
    let children: Vec<_> =
        records.filter(|record| record.parent == Some(key)).map(|record| record.key.to_string()).collect();
    if !children.is_empty() {
        let why = format!("incremental backups build on it: {}", children.join(", "));
        return Err(Refusal::needed_backup(key, why, "delete these first").into());
    }
    if running.iter().any(|backup| backup.parent == Some(key)) {
        let why = "an incremental backup in progress builds on it";
        return Err(Refusal::needed_backup(key, why, "try again when that one is done").into());
    }
    Ok(())
}

/// Refuses the only backup that was proven to be restorable.
fn refuse_only_proven(key: BackupKey, inventory: &Inventory, proofs: &Proofs) -> Result<()> {
    let mut others = inventory.backups.iter().filter(|backup| backup.key != key);
    if !proofs.is_proven(key) || others.any(|backup| proofs.is_proven(backup.key)) {
        return Ok(());
    }
    let why = "it is the only backup that was proven to be restorable";
    Err(Refusal::needed_backup(key, why, "verify another one first").into())
}

fn notices(key: BackupKey, inventory: &Inventory) -> Vec<String> {
    let only = format!("{key} is the only backup: without it nothing can be restored");
    let wal = "the WAL that no other backup needs stays until the next prune".to_owned();
    (inventory.backups.len() == 1).then_some(only).into_iter().chain([wal]).collect()
}
