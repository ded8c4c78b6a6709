//! The content that a restored file must have, if that is known beforehand.

use std::collections::BTreeMap;

use crate::restore::chain::FileName;

/// The content of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileContent {
    pub(super) bytes: u64,
    pub(super) hash: blake3::Hash,
}

/// The files that are those of an older backup.
#[derive(Debug, Default)]
pub(super) struct UnchangedFiles {
    pub(super) files: BTreeMap<FileName, FileContent>,
}

impl UnchangedFiles {
    /// Returns the content of the complete file `name` of a tablespace, or of the data directory; none if it has changed.
    pub(super) fn content(&self, tablespace: Option<u32>, name: &[u8]) -> Option<FileContent> {
        self.files.get(&(tablespace, name.to_owned())).copied()
    }
}
