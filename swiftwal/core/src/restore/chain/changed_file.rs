//! A file of which the newest backup has only some blocks.

use std::ops::Range;

use swiftwal_postgres::incremental_file::{BLOCK_BYTES, IncrementalHeader};

const WORD_BITS: u32 = u64::BITS;

/// Which blocks of a file have been found. The rest of the file is zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::restore) struct ChangedFile {
    /// Below it, blocks that the newest backup lacks are those of an older one.
    truncation_blocks: u32,
    /// The length of the complete file.
    complete_blocks: u32,
    /// A bit for each block below the truncation length; empty until the first is set.
    found: Vec<u64>,
}

impl ChangedFile {
    /// Begins with the header that the file has in the newest backup, and none of its blocks.
    pub(super) fn new(newest: &IncrementalHeader) -> Self {
        Self {
            truncation_blocks: newest.truncation_blocks(),
            complete_blocks: newest.complete_blocks(),
            found: Vec::new(),
        }
    }

    /// Returns the size of the complete file.
    pub(super) fn complete_bytes(&self) -> u64 {
        u64::from(self.complete_blocks) * BLOCK_BYTES
    }

    /// Returns how many blocks from `blocks.start` on are equally wanted, or equally not, and whether they are.
    pub(super) fn wanted(&self, blocks: Range<u32>) -> (u32, bool) {
        let is_wanted = self.wants(blocks.start);
        let count = blocks.take_while(|block| self.wants(*block) == is_wanted).count();
        (count as u32, is_wanted)
    }

    fn wants(&self, block: u32) -> bool {
        block < self.truncation_blocks
            && self
                .found
                .get((block / WORD_BITS) as usize)
                .is_none_or(|word| word >> (block % WORD_BITS) & 1 == 0)
    }

    /// Records that these blocks were written.
    pub(super) fn set_found(&mut self, blocks: Range<u32>) {
        for block in blocks.start..blocks.end.min(self.truncation_blocks) {
            if self.found.is_empty() {
                self.found = vec![0; self.truncation_blocks.div_ceil(WORD_BITS) as usize];
            }
            if let Some(word) = self.found.get_mut((block / WORD_BITS) as usize) {
                *word |= 1 << (block % WORD_BITS);
            }
        }
    }

    /// Whether a complete file of `bytes` bytes is the result, since no newer backup has a block of it.
    pub(super) fn is_copy_of(&self, bytes: u64) -> bool {
        self.found.is_empty()
            && self.complete_blocks == self.truncation_blocks
            && self.complete_bytes() == bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_below_the_truncation_length_are_wanted_until_they_are_found() {
        let newest = IncrementalHeader::new(130, vec![3, 200]).unwrap();
        let mut file = ChangedFile::new(&newest);
        assert_eq!(file.complete_bytes(), 201 * BLOCK_BYTES);
        assert_eq!([file.wanted(0..500), file.wanted(130..500)], [(130, true), (370, false)]);
        assert!(file.found.is_empty(), "no memory for what wasn't found");
        file.set_found(3..4);
        file.set_found(64..70);
        file.set_found(200..201);
        assert_eq!(
            [file.wanted(0..130), file.wanted(3..130), file.wanted(4..130)],
            [(3, true), (1, false), (60, true)]
        );
        assert_eq!([file.wanted(64..66), file.wanted(70..130)], [(2, false), (60, true)]);
        assert_eq!(file.found.len(), 3);
    }

    #[test]
    fn only_a_file_of_which_nothing_is_newer_is_a_copy() {
        let file =
            |truncation, blocks| ChangedFile::new(&IncrementalHeader::new(truncation, blocks).unwrap());
        assert!(file(2, vec![]).is_copy_of(2 * BLOCK_BYTES));
        assert!(!file(2, vec![]).is_copy_of(2 * BLOCK_BYTES + 1) && !file(2, vec![]).is_copy_of(BLOCK_BYTES));
        assert!(!file(2, vec![2]).is_copy_of(3 * BLOCK_BYTES));
        let mut found = file(2, vec![]);
        found.set_found(1..2);
        assert!(!found.is_copy_of(2 * BLOCK_BYTES));
    }
}
