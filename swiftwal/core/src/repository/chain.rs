//! The chain of an incremental backup: the backups that it builds on, down to a full one.
//!
//! Everything about it is read from the commit records, before a restore writes anything.

use crate::{
    error::{Error, ErrorKind, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        completeness::missing_object,
        key::BackupKey,
        record::{BackupKind, BackupRecord},
    },
};

/// Returns the backups that `backup` builds on: its parent first, a full backup last. None of them for a full backup.
///
/// If the chain is incomplete, it returns the reason, as a clause about `backup`.
///
/// # Errors
///
/// Those of the storage.
pub(crate) async fn parents(
    repository: &Repository,
    backup: &ChosenBackup,
) -> Result<Result<Vec<BackupRecord>, String>> {
    let mut parents: Vec<BackupRecord> = Vec::new();
    let mut child = backup.record.clone();
    while let Some(record) = child.filter(|record| record.kind == BackupKind::Incremental) {
        let Some(key) = record.parent else {
            let builder =
                if record.key == backup.key { "it".to_owned() } else { format!("backup {}", record.key) };
            return Ok(Err(format!("{builder} is incremental and doesn't say which backup it builds on")));
        };
        let parent = match parent_of(repository, &record, key).await? {
            Ok(parent) => parent,
            Err(reason) => return Ok(Err(format!("it needs backup {key}, {reason}"))),
        };
        child = Some(parent.clone());
        parents.push(parent);
    }
    Ok(Ok(parents))
}

/// Reads the backup `key`, on which `child` builds, or returns why it can't be used.
async fn parent_of(
    repository: &Repository,
    child: &BackupRecord,
    key: BackupKey,
) -> Result<Result<BackupRecord, String>> {
    let parent = match repository.record_if_there(key).await {
        Ok(Some(parent)) => parent,
        Ok(None) => return Ok(Err(format!("which isn't in {}", repository.location()))),
        Err(error) if is_of_this_backup(&error) => {
            return Ok(Err(format!("which can't be used: {}", error.in_full())));
        }
        Err(error) => return Err(error),
    };
    if parent.system_identifier != child.system_identifier {
        return Ok(Err("which is of another PostgreSQL cluster".to_owned()));
    }
    // So a chain ends.
    if parent.start_lsn >= child.start_lsn {
        return Ok(Err(format!("which was taken after backup {}, though that builds on it", child.key)));
    }
    let missing = missing_object(repository, &parent, |object| object.tar_bytes.is_some()).await?;
    Ok(match missing {
        Some(missing) => Err(format!(
            "which is incomplete: {} is missing in {}, or doesn't have its {} bytes",
            missing.name,
            repository.location(),
            missing.bytes
        )),
        None => Ok(parent),
    })
}

/// Whether the error concerns the record of one backup, and not the storage.
fn is_of_this_backup(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Damaged | ErrorKind::Refused)
}
