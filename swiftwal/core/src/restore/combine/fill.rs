//! Reads the older backups of a chain, the newest first, and fills the files of the newest backup.

use std::sync::Arc;

use swiftwal_postgres::{ControlFile, printable};

use super::start::check_start;
use crate::{
    error::{Error, Result},
    repository::{key::BackupKey, record::BackupRecord},
    restore::{
        RestoreEvent,
        chain::ChangedFiles,
        copy::{Copy, Member, read_manifest},
        extract::{Extracted, OlderTar},
    },
};

/// pg_checksums changes every page without writing WAL, so the next incremental backup doesn't have these changes.
const MIXED_CHECKSUMS: &str = "page checksums were switched on or off between the backups of this chain, so not all pages may have \
     one that fits; if PostgreSQL reports invalid pages, start it with ignore_checksum_failure = on, stop it when recovery has \
     ended, run pg_checksums --disable, and take a full backup";

/// Fills `changed`, the incremental files of the backup `newest`, whose other files are in `extracted`, from `parents`.
/// Says so if only some of the backups have page checksums.
///
/// # Errors
///
/// [`Error::Damaged`] if the backups don't fit together; the error names the backup to blame.
pub(in crate::restore) async fn fill(
    copy: &Copy<'_>,
    (newest, extracted): (BackupKey, &Extracted),
    parents: Vec<Member>,
    changed: &Arc<ChangedFiles>,
) -> Result<()> {
    let records: Vec<_> = parents.iter().map(|parent| parent.record.clone()).collect();
    check_start(newest, extracted.label.as_deref(), records.first())?;
    let has_checksums = |control: &Option<Vec<u8>>| ControlFile::has_checksums(control.as_deref()?);
    let mut is_mixed = false;
    for (index, parent) in parents.into_iter().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let key = parent.record.key;
        let older = read_older(copy, parent, number, changed).await?;
        check_start(key, older.label.as_deref(), records.get(index + 1))?;
        is_mixed |= has_checksums(&older.control) != has_checksums(&extracted.control);
        refuse_missing(key, changed.missing_in(number), newest)?;
    }
    if is_mixed {
        (copy.observe)(RestoreEvent::Notice(MIXED_CHECKSUMS));
    }
    let full = records.last().map_or(newest, |record: &BackupRecord| record.key);
    refuse_missing(full, changed.incomplete(), newest)
}

/// Reads an older backup. Returns its files that are kept in memory.
async fn read_older(
    copy: &Copy<'_>,
    parent: Member,
    number: u32,
    changed: &Arc<ChangedFiles>,
) -> Result<Extracted> {
    let manifest = read_manifest(copy.repository, Some(&parent.record), None, None, copy.observe).await?;
    let algorithm = manifest.as_ref().map(|manifest| manifest.algorithm);
    let mut read = Extracted::default();
    for mut tar in parent.tars {
        let destination = Arc::clone(copy.destination);
        let older = OlderTar::new(destination, &mut tar, number, Arc::clone(changed), algorithm)?;
        read.add(copy.tar(tar, move |pieces, count| older.extract(pieces, count)).await?);
    }
    copy.check(manifest.as_ref(), &read)?;
    Ok(read)
}

/// Fails if a file is `missing` in the backup `key`: PostgreSQL puts only blocks of a file into a backup if its parent
/// has the file.
fn refuse_missing(key: BackupKey, missing: Option<(Option<u32>, Vec<u8>)>, newest: BackupKey) -> Result<()> {
    let Some((tablespace, name)) = missing else { return Ok(()) };
    let place = tablespace.map_or_else(String::new, |oid| format!(" of tablespace {oid}"));
    let reason = format!(
        "it lacks the file {}{place}, of which backup {newest} has only the blocks that have changed since; restore \
         another backup",
        printable(&name)
    );
    Err(Error::damaged(format!("backup {key}"), reason))
}
