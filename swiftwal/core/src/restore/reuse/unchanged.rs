//! The incremental files of the newest backup of a chain of which nothing has changed, by the indexes alone.
//!
//! Such a file has no blocks in any backup down to the one that has the complete file. So it is a header without blocks
//! everywhere, and the result is that complete file, whose hash is in an index. That the newest header promises a file of
//! the same length is known by the header's own hash.

use std::collections::BTreeMap;

use swiftwal_postgres::incremental_file::{IncrementalHeader, complete_name};

use super::{
    Stop,
    file::Files,
    known_content::{FileContent, UnchangedFiles},
};
use crate::{
    error::Result,
    repository::key::BackupKey,
    restore::{chain::FileName, combine::refuse_missing},
};

/// An incremental file whose complete one hasn't been found.
#[derive(Clone, Copy, Debug)]
struct Pending {
    /// The hash of the newest backup's file, as long as no backup has blocks of it.
    header: Option<blake3::Hash>,
    /// The last backup in which the file was found.
    backup: BackupKey,
}

/// A backup of a chain, and the files of its tars.
pub(super) type IndexedBackup = (BackupKey, Vec<Files>);

impl UnchangedFiles {
    /// Finds the files of the chain with the backup `newest` and the `older` ones, the newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`](crate::Error::Damaged) if an older backup lacks a file of which a newer one has only blocks.
    pub(super) fn find(newest: IndexedBackup, older: Vec<IndexedBackup>, stop: &Stop) -> Result<Self> {
        let (mut pending, mut found) = (BTreeMap::new(), Self::default());
        let (newest, tars) = newest;
        each(tars, stop, |name, is_incremental, content| {
            if is_incremental {
                pending.insert(name, Pending { header: header(content), backup: newest });
            }
        })?;
        let mut full = newest;
        for (backup, tars) in older {
            each(tars, stop, |name, is_incremental, content| {
                let Some(file) = pending.get_mut(&name) else { return };
                file.backup = backup;
                if is_incremental {
                    file.header = file.header.filter(|_| header(content).is_some());
                    return;
                }
                if let Some(content) = content.filter(|content| file.is_header_of(content.bytes)) {
                    found.files.insert(name.clone(), content);
                }
                pending.remove(&name);
            })?;
            let missing = pending.iter().find(|(_, file)| file.backup != backup);
            refuse_missing(backup, missing.map(|(name, _)| name.clone()), newest)?;
            full = backup;
        }
        refuse_missing(full, pending.into_keys().next(), newest)?;
        Ok(found)
    }
}

impl Pending {
    /// Whether no backup has blocks of the file, and the newest one says that it has `bytes` bytes.
    fn is_header_of(&self, bytes: u64) -> bool {
        let expected = IncrementalHeader::unchanged(bytes).map(|header| blake3::hash(&header.to_bytes()));
        self.header.is_some() && self.header == expected
    }
}

/// Returns the hash of an incremental file that has no blocks.
fn header(content: Option<FileContent>) -> Option<blake3::Hash> {
    let bytes = IncrementalHeader::unchanged(0).map(|header| header.file_bytes());
    content.filter(|content| Some(content.bytes) == bytes).map(|content| content.hash)
}

/// Passes every file of the tars to `take`: the complete file that it belongs to, whether it is an incremental one, and
/// its content.
fn each(
    tars: Vec<Files>,
    stop: &Stop,
    mut take: impl FnMut(FileName, bool, Option<FileContent>),
) -> Result<()> {
    for files in tars {
        let tablespace = files.tablespace();
        for file in files {
            stop.check()?;
            let file = file?;
            let complete = complete_name(&file.member.name, tablespace.is_some());
            let is_incremental = complete.is_some();
            let content = file.hash.map(|hash| FileContent { bytes: file.member.bytes, hash });
            take((tablespace, complete.unwrap_or(file.member.name)), is_incremental, content);
        }
    }
    Ok(())
}
