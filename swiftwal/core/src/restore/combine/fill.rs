//! Reads the older backups of a chain, the newest first, and fills the files of the newest backup.

use std::sync::Arc;

use super::checks::ChainChecks;
use crate::{
    error::Result,
    repository::key::BackupKey,
    restore::{
        chain::ChangedFiles,
        copy::{Copy, Member, read_manifest},
        extract::{Extracted, OlderTar},
    },
};

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
    let records = parents.iter().map(|parent| parent.record.clone()).collect();
    let mut checks = ChainChecks::begin(newest, extracted, records)?;
    for (number, parent) in (1..).zip(parents) {
        let older = read_older(copy, parent, number, changed).await?;
        checks.check(number, &older, changed)?;
    }
    checks.finish(changed, copy.observe)
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
