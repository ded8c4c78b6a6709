//! Checks that each backup of a chain builds on the next one.

use swiftwal_postgres::BackupLabel;

use crate::{
    error::{Error, Result},
    repository::{key::BackupKey, record::BackupRecord},
};

/// Checks that the backup `key` with this `backup_label` builds on `parent`, or on none if it is the full backup, as
/// `pg_combinebackup` does it. Returns the parsed label.
///
/// # Errors
///
/// [`Error::Damaged`] if it builds on another.
pub(crate) fn check_start(
    key: BackupKey,
    label: Option<&[u8]>,
    parent: Option<&BackupRecord>,
) -> Result<BackupLabel> {
    let damaged = |reason: String| Error::damaged(format!("backup {key}"), reason);
    let label = label.ok_or_else(|| damaged("it has no backup_label".to_owned()))?;
    let label =
        BackupLabel::from_bytes(label).map_err(|error| Error::damaged(format!("backup {key}"), error))?;
    match (label.incremental_from(), parent) {
        (None, None) => Ok(label),
        (Some((lsn, timeline)), Some(parent)) if (lsn, timeline) == (parent.start_lsn, parent.timeline) => {
            Ok(label)
        }
        (None, Some(_)) => Err(damaged("its backup_label is that of a full backup".to_owned())),
        (Some(_), None) => Err(damaged("its backup_label is that of an incremental backup".to_owned())),
        (Some((lsn, timeline)), Some(parent)) => Err(damaged(format!(
            "it builds on a backup that starts at {lsn} on timeline {timeline}, and backup {} starts at {} on timeline {}",
            parent.key, parent.start_lsn, parent.timeline
        ))),
    }
}
