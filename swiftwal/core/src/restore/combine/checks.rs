//! Checks that the backups of a chain fit together, while they are read.

use swiftwal_postgres::{ControlFile, printable};

use crate::{
    error::{Error, Result},
    repository::{chain_start::check_start, key::BackupKey, record::BackupRecord},
    restore::{
        Observe, RestoreEvent,
        chain::{ChangedFiles, FileName},
        extract::Extracted,
    },
};

/// pg_checksums changes every page without writing WAL, so the next incremental backup doesn't have these changes.
const MIXED_CHECKSUMS: &str = "page checksums were switched on or off between the backups of this chain, so not all pages may have \
     one that fits; if PostgreSQL reports invalid pages, start it with ignore_checksum_failure = on, stop it when recovery has \
     ended, run pg_checksums --disable, and take a full backup";

/// The checks of a chain.
#[derive(Debug)]
pub(in crate::restore) struct ChainChecks {
    newest: BackupKey,
    /// Whether the newest backup has page checksums.
    has_checksums: Option<bool>,
    /// The older backups, the newest first.
    records: Vec<BackupRecord>,
    is_mixed: bool,
}

impl ChainChecks {
    /// Begins with the newest backup, whose files are in `extracted`, and the records of the older ones, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the newest backup doesn't build on the first of them.
    pub(in crate::restore) fn begin(
        newest: BackupKey,
        extracted: &Extracted,
        records: Vec<BackupRecord>,
    ) -> Result<Self> {
        check_start(newest, extracted.label.as_deref(), records.first())?;
        Ok(Self { newest, has_checksums: has_checksums(extracted), records, is_mixed: false })
    }

    /// Checks the backup with this number, which has been read, and what has been found of the `changed` files: 1 is the
    /// parent of the newest one.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if it doesn't fit; the error names the backup to blame.
    pub(in crate::restore) fn check(
        &mut self,
        number: u32,
        older: &Extracted,
        changed: &ChangedFiles,
    ) -> Result<()> {
        let index = number as usize;
        let Some(record) = self.records.get(index.saturating_sub(1)) else { return Ok(()) };
        check_start(record.key, older.label.as_deref(), self.records.get(index))?;
        self.is_mixed |= has_checksums(older) != self.has_checksums;
        refuse_missing(record.key, changed.missing_in(number), self.newest)
    }

    /// Checks that all `changed` files are complete. Says so if only some of the backups have page checksums.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if a file isn't complete.
    pub(in crate::restore) fn finish(self, changed: &ChangedFiles, observe: Observe<'_>) -> Result<()> {
        if self.is_mixed {
            observe(RestoreEvent::Notice(MIXED_CHECKSUMS));
        }
        let full = self.records.last().map_or(self.newest, |record| record.key);
        refuse_missing(full, changed.incomplete(), self.newest)
    }
}

fn has_checksums(read: &Extracted) -> Option<bool> {
    ControlFile::has_checksums(read.control.as_deref()?)
}

/// Fails if a file is `missing` in the backup `key`: PostgreSQL puts only blocks of a file into a backup if its parent
/// has the file.
pub(in crate::restore) fn refuse_missing(
    key: BackupKey,
    missing: Option<FileName>,
    newest: BackupKey,
) -> Result<()> {
    let Some((tablespace, name)) = missing else { return Ok(()) };
    let place = tablespace.map_or_else(String::new, |oid| format!(" of tablespace {oid}"));
    let reason = format!(
        "it lacks the file {}{place}, of which backup {newest} has only the blocks that have changed since; restore \
         another backup",
        printable(&name)
    );
    Err(Error::damaged(format!("backup {key}"), reason))
}
