//! Compares a file of a backup with its hash in the index, and computes its checksum for PostgreSQL's manifest, while it
//! passes.

use crate::repository::manifest::{Checksum, RestoredFiles};

/// So much is in the processor's cache from one checksum to the next.
const CACHED_BYTES: usize = 256 << 10;

/// The check of one file.
#[derive(Debug)]
pub(crate) struct FileCheck {
    expected: Option<blake3::Hash>,
    content: blake3::Hasher,
    bytes: u64,
    checksum: Option<Checksum>,
}

/// The content of a file isn't what was backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Differs;

impl FileCheck {
    /// Begins with a file whose content has the hash `expected`, if it is known. The checksum is computed if the manifest
    /// needs one.
    pub(crate) fn new(expected: Option<blake3::Hash>, checksum: Option<Checksum>) -> Self {
        Self { expected, content: blake3::Hasher::new(), bytes: 0, checksum }
    }

    /// Adds the next piece of the content.
    pub(crate) fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        for block in data.chunks(CACHED_BYTES) {
            if self.expected.is_some() {
                self.content.update(block);
            }
            if let Some(checksum) = &mut self.checksum {
                checksum.update(block);
            }
        }
    }

    /// Ends with the complete content of the file `name`. Adds it to `files`, and returns its checksum if one was computed.
    pub(crate) fn finish(self, name: &[u8], files: &mut RestoredFiles) -> Result<Option<Vec<u8>>, Differs> {
        if self.expected.is_some_and(|expected| self.content.finalize() != expected) {
            return Err(Differs);
        }
        let checksum = self.checksum.map(Checksum::finish);
        if let Some(checksum) = &checksum {
            files.add(name, self.bytes, checksum);
        }
        Ok(checksum)
    }
}
