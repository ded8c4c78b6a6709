//! Deletes backups.
//!
//! An incremental backup may be begun on one that is about to be deleted. Each side first writes and then looks: prune
//! marks the deletions before it looks for such a backup, and a backup writes its marker, which names the parent, before it
//! looks for the mark of its deletion. So at least one of the two finds the other and stops.

use jiff::Timestamp;
use object_store::{PutMode, PutPayload};

use super::PrunePlan;
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        inventory::StoredBackup,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        markers::markers,
        needs::in_progress,
    },
};

/// Marks the deletion of all `doomed` backups, and then fails if another backup builds on one of them: one in progress, or
/// one that was committed after the plan was made. Then the marks are removed. Returns whether every mark was stored, which a
/// full storage refuses.
///
/// # Errors
///
/// [`Refusal::Overtaken`].
pub(super) async fn mark_deletions(
    repository: &Repository,
    plan: &PrunePlan,
    doomed: &[&StoredBackup],
) -> Result<bool> {
    if doomed.is_empty() {
        return Ok(true);
    }
    let marks = || doomed.iter().map(|backup| ObjectName::Deleting(backup.key));
    let mut are_marked = true;
    for mark in marks() {
        are_marked &= mark_deletion(repository, &mark, false).await?;
    }
    let is_doomed = |parent: &BackupKey| doomed.iter().any(|backup| backup.key == *parent);
    let Some(parent) = parents_since(repository, plan).await?.into_iter().find(is_doomed) else {
        return Ok(are_marked);
    };
    repository.delete_all(marks().collect::<Vec<_>>().into_iter()).await?;
    let what = format!(
        "an incremental backup in {} builds on backup {parent}, which was to be removed; it was begun after the plan was made. \
         Nothing was pruned",
        repository.location()
    );
    Err(Refusal::overtaken(what, "prune again").into())
}

/// Returns the parents of the backups in progress, and of those that were committed after the plan was made.
async fn parents_since(repository: &Repository, plan: &PrunePlan) -> Result<Vec<BackupKey>> {
    let inventory = repository.inventory_with_every_record().await?;
    let running = in_progress(repository, &inventory, plan.before).await?;
    let mut parents: Vec<_> = running.into_iter().filter_map(|running| running.parent).collect();
    let is_new = |backup: &&StoredBackup| {
        let planned = [&plan.keep_backups, &plan.remove_backups];
        !backup.legacy && !planned.iter().any(|keys| keys.contains(&backup.key))
    };
    for backup in inventory.backups.iter().filter(is_new) {
        match repository.record_if_there(backup.key).await {
            Ok(record) => parents.extend(record.and_then(|record| record.parent)),
            // It was set aside when the plan was made, too.
            Err(Error::Foreign { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(parents)
}

/// Deletes a backup: first its commit object, without which it doesn't exist, then the rest. Its deletion is marked first,
/// unless it `is_marked`.
pub(super) async fn delete_backup(
    repository: &Repository,
    backup: &StoredBackup,
    before: Timestamp,
    is_marked: bool,
) -> Result<()> {
    let mark = ObjectName::Deleting(backup.key);
    let is_marked = is_marked || mark_deletion(repository, &mark, backup.legacy).await?;
    let part = if backup.legacy { BackupPart::Legacy } else { BackupPart::Record };
    let commit_object = ObjectName::Backup { key: backup.key, part };
    repository.delete(&commit_object).await?;
    let rest: Vec<_> = backup
        .objects
        .iter()
        .map(|object| object.name.clone())
        .filter(|name| *name != commit_object)
        .collect();
    let stale = stale_markers(repository, backup, before).await?;
    repository.delete_all(rest.into_iter().chain(stale)).await?;
    if is_marked { repository.delete(&mark).await } else { Ok(()) }
}

/// Stores the deletion mark, with which the next prune continues at once after an interruption. Returns whether it was
/// stored.
///
/// A full storage refuses it. Then a backup is deleted without a mark; after an interruption, the rest is removed when
/// it is a day old, like the leftovers of a crashed upload. That doesn't apply to a backup of SwiftWAL 0.2.2: it loses
/// its segments before its main object, so it would still be listed after an interruption.
async fn mark_deletion(repository: &Repository, mark: &ObjectName, is_legacy: bool) -> Result<bool> {
    match repository.put(mark, PutPayload::new(), PutMode::Overwrite).await {
        Ok(_) => Ok(true),
        Err(error) if !is_legacy && repository.storage().is_full(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the markers that remained when the backup was complete.
async fn stale_markers(
    repository: &Repository,
    backup: &StoredBackup,
    before: Timestamp,
) -> Result<Vec<ObjectName>> {
    let found = if backup.legacy {
        let mut markers = markers(repository, ObjectName::legacy_backup(backup.key)).await?;
        // A younger one may belong to another upload.
        markers.retain(|(_, touched)| *touched <= before);
        markers
    } else {
        markers(repository, backup.key).await?
    };
    Ok(found.into_iter().map(|(name, _)| name).collect())
}
