//! Checks the pages of a relation's file in a backup, while the file is read from its beginning to its end.

use crate::{
    Lsn,
    incremental_file::{
        BLOCK_BYTES, HeaderReader, IncrementalFileError, IncrementalHeader, MOST_BLOCKS, complete_file,
        has_relations, split,
    },
    page::{self, Mismatch},
    relation_file::RelationFile,
};

/// The pages of one file of a relation, of PostgreSQL's usual size.
///
/// Those pass that are new, and those that were changed after the start of the backup: recovery replaces them.
#[derive(Debug)]
pub struct RelationPages {
    start: Lsn,
    /// The number of the relation's block that the file begins with.
    first: u32,
    content: Content,
    /// The part of a page that has arrived.
    partial: Vec<u8>,
    checked: u64,
}

/// What the file contains.
#[derive(Debug)]
enum Content {
    /// Every block; this is the next one.
    All { next: u32 },
    /// The header of an incremental file is read.
    Header(HeaderReader),
    /// The blocks of an incremental file. The next one has this place among them.
    Some { header: IncrementalHeader, place: usize },
}

/// A page whose checksum is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedPage {
    /// The number of the block in the complete file.
    pub block: u32,
    /// The checksum that fits the page.
    pub calculated: u16,
    /// The checksum that the page has.
    pub expected: u16,
}

impl RelationPages {
    /// Returns the checks for the file `name` with `bytes` bytes of a backup that starts at `start`; none if it isn't the
    /// file of a relation.
    ///
    /// `name` is a path below the data directory, or below a tablespace if `is_in_tablespace`. If the backup isn't
    /// incremental, no file in it has only some blocks.
    #[must_use]
    pub fn of_file(
        name: &[u8],
        bytes: u64,
        is_in_tablespace: bool,
        is_incremental: bool,
        start: Lsn,
    ) -> Option<Self> {
        let (directory, file) = split(name);
        if !has_relations(directory, is_in_tablespace) {
            return None;
        }
        let complete = complete_file(file).filter(|_| is_incremental);
        let file = RelationFile::parse(std::str::from_utf8(complete.unwrap_or(file)).ok()?)?;
        let content = match complete {
            Some(_) => Content::Header(HeaderReader::new(bytes)),
            None => Content::All { next: 0 },
        };
        let first = file.segment.wrapping_mul(MOST_BLOCKS);
        Some(Self { start, first, content, partial: Vec::new(), checked: 0 })
    }

    /// Takes the next bytes of the file, and adds the pages to `damaged` whose checksums are wrong.
    ///
    /// # Errors
    ///
    /// For an incremental file that PostgreSQL doesn't write. Nothing may be passed after that.
    pub fn push(
        &mut self,
        mut data: &[u8],
        damaged: &mut Vec<DamagedPage>,
    ) -> Result<(), IncrementalFileError> {
        if let Content::Header(reader) = &mut self.content {
            let Some(header) = reader.push(&mut data)? else { return Ok(()) };
            self.content = Content::Some { header, place: 0 };
        }
        if !self.partial.is_empty() {
            let missing = (PAGE_BYTES - self.partial.len()).min(data.len());
            let (piece, rest) = data.split_at(missing);
            self.partial.extend_from_slice(piece);
            data = rest;
            if self.partial.len() < PAGE_BYTES {
                return Ok(());
            }
            let page = std::mem::take(&mut self.partial);
            self.check(&page, damaged);
        }
        let (pages, rest) = data.as_chunks::<PAGE_BYTES>();
        for page in pages {
            self.check(page, damaged);
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    /// Ends the file. Returns how many pages were checked. A part of a page at its end isn't.
    ///
    /// # Errors
    ///
    /// For an incremental file that ends before its header does.
    pub fn finish(self) -> Result<u64, IncrementalFileError> {
        match self.content {
            Content::Header(reader) => Err(reader.cut()),
            Content::All { .. } | Content::Some { .. } => Ok(self.checked),
        }
    }

    fn check(&mut self, page: &[u8], damaged: &mut Vec<DamagedPage>) {
        let block = match &mut self.content {
            Content::All { next } => {
                let block = *next;
                *next = next.wrapping_add(1);
                block
            }
            Content::Some { header, place } => {
                let Some(block) = header.blocks().get(*place) else { return };
                *place += 1;
                *block
            }
            Content::Header(_) => return,
        };
        self.checked += 1;
        if let Err(mismatch) = page::check(page, self.first.wrapping_add(block), self.start) {
            let Mismatch { calculated, expected } = mismatch;
            damaged.push(DamagedPage { block, calculated, expected });
        }
    }
}

/// The size of a page.
const PAGE_BYTES: usize = BLOCK_BYTES as usize;

#[cfg(test)]
mod tests {
    use super::*;

    /// A page with a checksum that is right for block 0 and 131072 only by chance, and an LSN that isn't zero.
    fn page(number: u8) -> Vec<u8> {
        let mut page = vec![number; PAGE_BYTES];
        page[..8].copy_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
        page
    }

    fn found(name: &str, content: &[u8], is_incremental: bool, piece: usize) -> Option<Vec<u32>> {
        let bytes = content.len() as u64;
        let mut pages = RelationPages::of_file(name.as_bytes(), bytes, false, is_incremental, Lsn(u64::MAX))?;
        let mut damaged = Vec::new();
        for piece in content.chunks(piece) {
            pages.push(piece, &mut damaged).unwrap();
        }
        assert_eq!(pages.finish().unwrap(), 3);
        Some(damaged.iter().map(|page| page.block).collect())
    }

    #[test]
    fn pages_have_the_numbers_of_their_blocks_however_they_arrive() {
        let complete = [page(1), vec![0; PAGE_BYTES], page(3), vec![7; 100]].concat();
        let header = IncrementalHeader::new(9, vec![2, 5, 7]).unwrap();
        let incremental = [header.to_bytes(), page(1), vec![0; PAGE_BYTES], page(3)].concat();
        for piece in [1000, PAGE_BYTES, 1 << 20] {
            assert_eq!(found("base/5/1259.1", &complete, false, piece).unwrap(), [0, 2]);
            let incremental = found("base/5/INCREMENTAL.1259", &incremental, true, piece);
            assert_eq!(incremental.unwrap(), [2, 7]);
        }
    }

    #[test]
    fn only_files_of_relations_have_pages() {
        for name in ["base/5/PG_VERSION", "pg_xact/0000", "base/5/t3_16384", "global/pg_control", "1259"] {
            assert!(found(name, &[], false, 1).is_none(), "{name}");
        }
        // An ordinary file of a full backup.
        assert!(found("base/5/INCREMENTAL.1259", &[], false, 1).is_none());
    }

    #[test]
    fn a_page_that_was_changed_after_the_start_of_the_backup_passes() {
        let mut damaged = Vec::new();
        for (start, count) in [(0, 0), (1, 0), (2, 1)] {
            let mut pages = RelationPages::of_file(b"global/1260", 8192, false, false, Lsn(start)).unwrap();
            pages.push(&page(1), &mut damaged).unwrap();
            assert_eq!(damaged.len(), count, "{start}");
        }
    }
}
