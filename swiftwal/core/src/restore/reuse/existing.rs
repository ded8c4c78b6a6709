//! What is known of existing files without reading them.

use super::{Stop, compare::Compared, file::Files};
use crate::{error::Result, restore::extract::Places};

/// The files of a directory that is restored into, by their sizes alone. A restore also compares their content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExistingFiles {
    /// The number of files that would be restored.
    pub files: u64,
    /// How many of them may be as in the backup, so that they would be kept.
    pub may_be_kept: u64,
    /// The bytes that would be fetched at least.
    pub stored_bytes: u64,
}

impl ExistingFiles {
    /// Adds the files of a tar. `places` is none if its directory doesn't exist. Returns the files that must be written.
    pub(super) fn add(&mut self, mut places: Option<Places>, files: Files, stop: &Stop) -> Result<Compared> {
        let mut needed = Vec::new();
        for file in files {
            stop.check()?;
            let file = file?;
            let has_size = |places: &mut Places| {
                let (root, name) = places.of(file.name());
                let found = root.open_existing(name).and_then(|found| found.metadata());
                file.restored().zip(found.ok()).is_some_and(|(restored, found)| restored.bytes == found.len())
            };
            self.files += u64::from(file.is_restored());
            if file.is_reusable() && places.as_mut().is_some_and(has_size) {
                self.may_be_kept += 1;
            } else {
                needed.push(file.number);
            }
        }
        Ok(Compared { needed: Some(needed), ..Compared::default() })
    }
}
