//! Deletes backups.
//!
//! An incremental backup may be begun on one that is about to be deleted. Each side first writes and then looks: prune
//! marks the deletions before it looks for such a backup, and a backup writes its marker, which names the parent, before it
//! looks for the mark of its deletion. So at least one of the two finds the other and stops.
//!
//! Several prunes may have marked the same backup. So no prune removes the mark of a backup that still exists, not even its
//! own: another one may rely on it. Only a mark of which nothing was heard for a day is removed.

use jiff::Timestamp;
use object_store::{PutMode, PutPayload};

use super::PrunePlan;
use crate::{
    error::{Refusal, Result},
    repository::{
        Repository,
        inventory::StoredBackup,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        markers::markers,
        running::begun_since,
        wal_removal::WalRemoval,
    },
};

/// Marks what is to be removed: the `doomed` backups, and WAL. Fails if a backup that the plan doesn't take into account
/// needs some of that. Returns whether every deletion of a backup was marked, which a full storage refuses.
///
/// # Errors
///
/// [`Refusal::Overtaken`].
pub(super) async fn mark_removals(
    repository: &Repository,
    plan: &PrunePlan,
    doomed: &[&StoredBackup],
    wal: &WalRemoval,
) -> Result<bool> {
    if doomed.is_empty() && wal.is_empty() {
        return Ok(true);
    }
    // The marks remain if such a backup is found after they were stored. So this looks for one before that, too.
    refuse_needed(repository, plan, doomed, wal).await?;
    let mut are_marked = true;
    for backup in doomed {
        are_marked &= mark_deletion(repository, &ObjectName::Deleting(backup.key), false).await?;
    }
    wal.mark(repository).await?;
    refuse_needed(repository, plan, doomed, wal).await?;
    Ok(are_marked)
}

/// Fails if a backup that the plan doesn't take into account needs what is to be removed.
async fn refuse_needed(
    repository: &Repository,
    plan: &PrunePlan,
    doomed: &[&StoredBackup],
    wal: &WalRemoval,
) -> Result<()> {
    let known = [&plan.keep_backups[..], &plan.remove_backups].concat();
    let begun = begun_since(repository, &known, plan.before).await?;
    let is_doomed = |parent: &BackupKey| doomed.iter().any(|backup| backup.key == *parent);
    let Some(parent) = begun.iter().filter_map(|backup| backup.parent).find(is_doomed) else {
        return wal.refuse_needed_by(&begun, repository);
    };
    let what = format!(
        "an incremental backup in {} builds on backup {parent}, which was to be removed; it was begun after the plan was made. \
         Nothing was pruned",
        repository.location()
    );
    Err(Refusal::overtaken(what, "prune again").into())
}

/// Deletes a backup: first its commit object, without which it doesn't exist, then the rest. Its deletion is marked first,
/// unless it `is_marked`.
///
/// # Errors
///
/// [`Refusal::Overtaken`] if the mark is gone.
pub(super) async fn delete_backup(
    repository: &Repository,
    backup: &StoredBackup,
    before: Timestamp,
    is_marked: bool,
) -> Result<()> {
    let mark = ObjectName::Deleting(backup.key);
    let part = if backup.legacy { BackupPart::Legacy } else { BackupPart::Record };
    let commit_object = ObjectName::Backup { key: backup.key, part };
    if is_marked {
        refuse_unmarked(repository, &mark, &commit_object).await?;
    }
    let is_marked = is_marked || mark_deletion(repository, &mark, backup.legacy).await?;
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

/// Fails if a backup exists whose deletion is no longer marked: an incremental one may build on it by now. That happens only
/// if this process was suspended for so long that another prune has removed the mark.
async fn refuse_unmarked(
    repository: &Repository,
    mark: &ObjectName,
    commit_object: &ObjectName,
) -> Result<()> {
    if repository.size(mark).await?.is_some() || repository.size(commit_object).await?.is_none() {
        return Ok(());
    }
    let what = format!(
        "{mark} in {} is gone: this process was suspended for more than a day, and another prune has removed it",
        repository.location()
    );
    Err(Refusal::overtaken(what, "prune again").into())
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
