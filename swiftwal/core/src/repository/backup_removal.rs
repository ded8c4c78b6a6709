//! Deletes backups, for prune and delete.
//!
//! An incremental backup may be begun on one that is about to be deleted. Each side first writes and then looks: the command
//! marks the deletions before it looks for such a backup, and a backup writes its marker, which names the parent, before it
//! looks for the mark of its deletion. So at least one of the two finds the other and stops. A backup may also be pinned
//! meanwhile: keep writes the pin and then looks for the mark, and each deletion looks for a pin after its mark was written.
//!
//! Several prunes may have marked the same backup. So no prune removes the mark of a backup that still exists, not even its
//! own: another one may rely on it. A mark is removed only when it is a day old.
//!
//! A full storage refuses the marks. No backup can begin on it either, as long as it is full. So a prune tries to mark the
//! remaining removals after each deletion, which may have made room, and looks for backups again.

use jiff::Timestamp;
use object_store::{PutMode, PutPayload};

use crate::{
    error::{Refusal, Result},
    repository::{
        Repository,
        inventory::StoredBackup,
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        markers::{markers, put_mark},
        running::{Considered, begun_since},
        wal_removal::WalRemoval,
    },
};

/// Marks what is to be removed: the `doomed` backups, and WAL. Fails if a backup that the plan doesn't take into account
/// needs some of that. Returns whether all of that was marked, which a full storage refuses.
///
/// # Errors
///
/// [`Refusal::Overtaken`].
pub(crate) async fn mark_removals(
    repository: &Repository,
    considered: &Considered,
    doomed: &[&StoredBackup],
    wal: &WalRemoval<'_>,
) -> Result<bool> {
    if doomed.is_empty() && wal.is_empty() {
        return Ok(true);
    }
    // The marks remain if such a backup is found after they were stored. So this looks for one before that, too.
    refuse_needed(repository, considered, doomed, wal).await?;
    let mut are_marked = true;
    for backup in doomed {
        are_marked &= put_mark(repository, &ObjectName::Deleting(backup.key)).await?;
    }
    are_marked &= wal.mark(repository).await?;
    refuse_needed(repository, considered, doomed, wal).await?;
    Ok(are_marked)
}

/// Fails if a backup that the plan doesn't take into account needs what is to be removed.
async fn refuse_needed(
    repository: &Repository,
    considered: &Considered,
    doomed: &[&StoredBackup],
    wal: &WalRemoval<'_>,
) -> Result<()> {
    let begun = begun_since(repository, considered).await?;
    let is_doomed = |parent: &BackupKey| doomed.iter().any(|backup| backup.key == *parent);
    let Some(parent) = begun.iter().filter_map(|backup| backup.parent).find(is_doomed) else {
        return wal.refuse_needed_by(&begun, repository);
    };
    let what = format!(
        "an incremental backup in {} builds on backup {parent}, which was to be removed; it was begun after the plan was made. \
         Nothing more was removed",
        repository.location()
    );
    Err(Refusal::overtaken(what, "run the command again").into())
}

/// Deletes backups, in this order, and marks what remains as soon as there is room for that, unless everything `is_marked`.
///
/// # Errors
///
/// As [`delete_backup`] and [`mark_removals`].
pub(crate) async fn delete_backups(
    repository: &Repository,
    considered: &Considered,
    mut doomed: &[&StoredBackup],
    wal: &WalRemoval<'_>,
    mut is_marked: bool,
) -> Result<()> {
    while let [backup, others @ ..] = doomed {
        delete_backup(repository, backup, considered, is_marked).await?;
        doomed = others;
        if !is_marked {
            is_marked = mark_removals(repository, considered, doomed, wal).await?;
        }
    }
    Ok(())
}

/// Deletes a backup: first its commit object, without which it doesn't exist, then the rest. With its mark, the next prune
/// continues at once after an interruption. If a full storage has refused the mark, the rest is removed when it is a day old,
/// like the leftovers of a crashed upload. The deletion of a backup of SwiftWAL 0.2.2 is marked here, and fails without that.
///
/// # Errors
///
/// [`Refusal::Overtaken`] if the mark is gone, or the backup was pinned meanwhile.
pub(crate) async fn delete_backup(
    repository: &Repository,
    backup: &StoredBackup,
    considered: &Considered,
    is_marked: bool,
) -> Result<()> {
    let mark = ObjectName::Deleting(backup.key);
    let part = if backup.legacy { BackupPart::Legacy } else { BackupPart::Record };
    let commit_object = ObjectName::Backup { key: backup.key, part };
    if backup.legacy {
        // Its segments are deleted before its main object, so without the mark it would be listed after an interruption.
        repository.put(&mark, PutPayload::new(), PutMode::Overwrite).await?;
    } else if is_marked {
        refuse_unmarked(repository, &mark, &commit_object).await?;
    }
    refuse_pinned(repository, backup.key, considered).await?;
    repository.delete(&commit_object).await?;
    let rest: Vec<_> = backup
        .objects
        .iter()
        .map(|object| object.name.clone())
        .filter(|name| *name != commit_object)
        .collect();
    let stale = stale_markers(repository, backup, considered.before).await?;
    repository.delete_all(rest.into_iter().chain(stale)).await?;
    repository.delete(&mark).await
}

/// Fails if a backup exists whose deletion is no longer marked: an incremental one may build on it by now.
async fn refuse_unmarked(
    repository: &Repository,
    mark: &ObjectName,
    commit_object: &ObjectName,
) -> Result<()> {
    if repository.size(mark).await?.is_some() || repository.size(commit_object).await?.is_none() {
        return Ok(());
    }
    let location = repository.location();
    let what = format!("the mark {mark} in {location} is gone: another prune has removed it");
    Err(Refusal::overtaken(what, "prune again").into())
}

/// Fails if a backup was pinned after the plan was made.
async fn refuse_pinned(repository: &Repository, key: BackupKey, considered: &Considered) -> Result<()> {
    if !repository.is_pinned(key, considered.now).await? {
        return Ok(());
    }
    let what = format!(
        "backup {key} in {}, which was to be removed, was pinned after the plan was made. Nothing more was removed",
        repository.location()
    );
    Err(Refusal::overtaken(what, "run the command again").into())
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
