//! keep and unkeep: an administrator wants a backup to stay, whatever the rules of prune say.

use jiff::Timestamp;

use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository, backup::ChosenBackup, choice::BackupChoice, key::BackupKey, layout::ObjectName, pin::Pin,
        record::BackupRecord,
    },
};

/// Pins a backup until the given time, or for ever. An earlier pin of the same backup is replaced.
///
/// A prune or delete that runs at the same time marks what it deletes, and then looks for pins. So this stores the pin, and
/// then looks for the mark: at least one of the two finds the other.
///
/// # Errors
///
/// [`Error::Usage`] if that time has passed, by the storage's clock. [`Refusal::Overtaken`] if another command deletes the
/// backup; the pin is stored all the same, unless the backup is gone.
pub async fn keep(
    repository: &Repository,
    choice: BackupChoice,
    until: Option<Timestamp>,
    reason: Option<String>,
) -> Result<Pin> {
    let backup = choice.find(repository).await?;
    let now = repository.storage_now().await?;
    if let Some(passed) = until.filter(|until| *until <= now) {
        return Err(Error::Usage(format!("{passed} has passed: by the storage's clock it is {now}")));
    }
    let pin = Pin::new(backup.key, now, until, reason);
    repository.store_pin(&pin).await?;
    refuse_deleted(repository, &backup).await?;
    Ok(pin)
}

/// Removes the pin of a backup. Returns the backup's key, and whether it had a pin.
///
/// # Errors
///
/// [`Error::UnknownBackup`] if there is neither such a backup nor a pin.
pub async fn unkeep(repository: &Repository, choice: BackupChoice) -> Result<(BackupKey, bool)> {
    let key = match choice {
        // The pin of a backup whose record can't be read can be removed, too.
        BackupChoice::Key(key) => key,
        BackupChoice::Latest => choice.find(repository).await?.key,
    };
    let name = Pin::object_name(key);
    if repository.size(&name).await?.is_none() {
        return Ok((choice.find(repository).await?.key, false));
    }
    repository.delete(&name).await?;
    Ok((key, true))
}

/// Fails if another command deletes the backup, or has deleted it.
async fn refuse_deleted(repository: &Repository, backup: &ChosenBackup) -> Result<()> {
    let (key, location) = (backup.key, repository.location());
    let mark = ObjectName::Deleting(key);
    // The mark is removed after the backup, so it is asked for first.
    let is_marked = repository.size(&mark).await?.is_some();
    let commit_object = match &backup.record {
        Some(_) => BackupRecord::object_name(key),
        None => ObjectName::legacy_backup(key),
    };
    if repository.size(&commit_object).await?.is_none() {
        repository.delete(&Pin::object_name(key)).await?;
        let what = format!("backup {key} in {location} was deleted by another command at the same time");
        return Err(Refusal::overtaken(what, "see list-backups for those that remain").into());
    }
    if is_marked {
        let what = format!(
            "the deletion of backup {key} in {location} has begun ({mark}), by a prune that is running or was interrupted. The pin \
             is stored, and no prune that begins later deletes the backup, but that one may"
        );
        let hint = "see list-backups, when no prune is running, whether the backup is still there";
        return Err(Refusal::overtaken(what, hint).into());
    }
    Ok(())
}
