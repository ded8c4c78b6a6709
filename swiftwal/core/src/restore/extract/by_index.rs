//! Takes members from the index of a tar instead of the tar itself: files may exist, or be created without content.

use bytes::Bytes;
use swiftwal_postgres::tar_stream::{Member, TarVisitor};

use super::Extractor;
use crate::error::{Error, Result};

impl Extractor {
    /// Counts a file of `bytes` bytes that exists as it would be restored, and was compared.
    pub(in crate::restore) fn keep_existing(&mut self, member: &Member, bytes: u64) {
        self.expected.of(member);
        self.extracted.kept_files += 1;
        self.extracted.files += 1;
        self.extracted.bytes += bytes;
    }

    /// Creates a file of the member's size, which takes no space.
    pub(in crate::restore) fn create_without_content(&mut self, member: &Member) -> Result<()> {
        self.expected.of(member);
        self.check_name(&member.name)?;
        let (root, name) = self.places.of(&member.name);
        let path = root.path_of(name);
        let created = root.create_file(name, member.mode);
        let file = created.map_err(|error| self.unless_twice(&member.name, error))?;
        self.extracted.files += 1;
        file.set_len(member.bytes).map_err(Error::local("write", path))
    }

    /// Writes a piece of the current file.
    pub(in crate::restore) fn write_piece(&mut self, data: &Bytes) -> Result<()> {
        self.piece = data.clone();
        self.data(data)
    }
}
