//! The header of an incremental file, read as a stream.

use std::ops::Range;

use thiserror::Error;

use super::{BLOCK_BYTES, MOST_BLOCKS};

const MAGIC: u32 = 0xd3ae_1f0d;
const NUMBER_BYTES: usize = 4;
/// The magic number, the number of blocks and the truncation length.
const FIXED_BYTES: usize = 3 * NUMBER_BYTES;

/// The header of an incremental file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncrementalHeader {
    truncation_blocks: u32,
    /// In ascending order.
    blocks: Vec<u32>,
}

/// Consecutive blocks of a file, or a part of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The numbers of its blocks.
    pub blocks: Range<u32>,
    /// Where it is in the complete file.
    pub bytes: Range<u64>,
}

/// A file that isn't an incremental file of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IncrementalFileError {
    /// Its first four bytes are others.
    #[error("isn't an incremental file of PostgreSQL: it begins with {found:#010x}")]
    Magic {
        /// The first number.
        found: u32,
    },
    /// It has a block that no file of a relation has.
    #[error("has a block with the number {block}, and a file of PostgreSQL has at most {MOST_BLOCKS} blocks")]
    Beyond {
        /// The number.
        block: u32,
    },
    /// It has more blocks than a file of a relation has.
    #[error("has {count} blocks, and a file of PostgreSQL has at most {MOST_BLOCKS}")]
    TooMany {
        /// The number of blocks.
        count: u32,
    },
    /// Its block numbers aren't in ascending order.
    #[error("has block {block} twice or out of order")]
    Order {
        /// The number.
        block: u32,
    },
    /// Its size isn't the one of its header and blocks.
    #[error("has {found} bytes instead of {expected}")]
    Size {
        /// The size by its header.
        expected: u64,
        /// Its size.
        found: u64,
    },
}

impl IncrementalHeader {
    /// Creates the header of a file with these blocks.
    ///
    /// A truncation length beyond the largest file counts as that: PostgreSQL 17 and 18 write one before their minor
    /// releases of 2026.
    ///
    /// # Errors
    ///
    /// If `blocks` aren't in ascending order, or one is beyond the largest file.
    pub fn new(truncation_blocks: u32, blocks: Vec<u32>) -> Result<Self, IncrementalFileError> {
        if let Some(pair) = blocks.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(IncrementalFileError::Order { block: pair[1] });
        }
        match blocks.last() {
            Some(&block) if block >= MOST_BLOCKS => Err(IncrementalFileError::Beyond { block }),
            _ => Ok(Self { truncation_blocks: truncation_blocks.min(MOST_BLOCKS), blocks }),
        }
    }

    /// Returns the header of a file without blocks, whose complete file has `complete_bytes` bytes and is that of an older
    /// backup; none if that isn't a number of blocks that a file can have.
    #[must_use]
    pub fn unchanged(complete_bytes: u64) -> Option<Self> {
        let truncation_blocks = u32::try_from(complete_bytes / BLOCK_BYTES).ok()?;
        let is_possible = complete_bytes.is_multiple_of(BLOCK_BYTES) && truncation_blocks <= MOST_BLOCKS;
        is_possible.then_some(Self { truncation_blocks, blocks: Vec::new() })
    }

    /// Returns the truncation length: below it, blocks that the file lacks are those of an older backup.
    #[must_use]
    pub fn truncation_blocks(&self) -> u32 {
        self.truncation_blocks
    }

    /// Returns the numbers of the blocks in the file, in their order.
    #[must_use]
    pub fn blocks(&self) -> &[u32] {
        &self.blocks
    }

    /// Returns the number of blocks of the complete file, if this is the newest backup.
    #[must_use]
    pub fn complete_blocks(&self) -> u32 {
        let behind_last = self.blocks.last().map_or(0, |last| last + 1);
        behind_last.max(self.truncation_blocks)
    }

    /// Returns the size of the header.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        header_bytes(self.blocks.len())
    }

    /// Returns the size of the incremental file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes() + self.blocks.len() as u64 * BLOCK_BYTES
    }

    /// Returns the run of blocks that are consecutive in the complete file, too, from the byte `position` on, counted
    /// from the first block: as many as contain the next `most` bytes, or fewer. None at the end.
    #[must_use]
    pub fn run(&self, position: u64, most: u64) -> Option<Run> {
        let index = usize::try_from(position / BLOCK_BYTES).ok()?;
        let first = *self.blocks.get(index)?;
        let most =
            usize::try_from((position % BLOCK_BYTES + most).div_ceil(BLOCK_BYTES)).unwrap_or(usize::MAX);
        let follow =
            self.blocks[index..].iter().zip(first..).take(most).take_while(|(block, next)| *block == next);
        let blocks = first..first + follow.count() as u32;
        let start = u64::from(first) * BLOCK_BYTES + position % BLOCK_BYTES;
        Some(Run { bytes: start..u64::from(blocks.end) * BLOCK_BYTES, blocks })
    }

    /// Returns the header as PostgreSQL writes it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = [MAGIC, self.blocks.len() as u32, self.truncation_blocks];
        let numbers = numbers.iter().chain(&self.blocks);
        let mut bytes: Vec<u8> = numbers.flat_map(|number| number.to_le_bytes()).collect();
        bytes.resize(self.bytes() as usize, 0);
        bytes
    }
}

/// Reads the header of an incremental file piece by piece, in at most a mebibyte of memory.
#[derive(Debug)]
pub struct HeaderReader {
    file_bytes: u64,
    read: Vec<u8>,
}

impl HeaderReader {
    /// Begins with a file of this size.
    #[must_use]
    pub fn new(file_bytes: u64) -> Self {
        Self { file_bytes, read: Vec::new() }
    }

    /// Takes the bytes of the header from the beginning of `piece`, and returns the header when it is complete. The rest
    /// of `piece` belongs to the blocks.
    ///
    /// # Errors
    ///
    /// For a header that PostgreSQL doesn't write, and one that doesn't fit the size of the file. A later call is
    /// meaningless then.
    pub fn push(&mut self, piece: &mut &[u8]) -> Result<Option<IncrementalHeader>, IncrementalFileError> {
        self.take(FIXED_BYTES, piece);
        let Some(count) = self.count()? else { return Ok(None) };
        let bytes = header_bytes(count);
        let expected = bytes + count as u64 * BLOCK_BYTES;
        if self.file_bytes != expected {
            return Err(IncrementalFileError::Size { expected, found: self.file_bytes });
        }
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.take(bytes, piece);
        if self.read.len() < bytes {
            return Ok(None);
        }
        let numbers = FIXED_BYTES..FIXED_BYTES + count * NUMBER_BYTES;
        let (blocks, _) = self.read.get(numbers).unwrap_or_default().as_chunks();
        let blocks = blocks.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
        IncrementalHeader::new(self.number(2).unwrap_or_default(), blocks).map(Some)
    }

    /// Returns the error for a file that has ended before its header.
    #[must_use]
    pub fn cut(&self) -> IncrementalFileError {
        let count = self.number(1).unwrap_or_default().min(MOST_BLOCKS) as usize;
        let expected = header_bytes(count) + count as u64 * BLOCK_BYTES;
        IncrementalFileError::Size { expected, found: self.file_bytes }
    }

    /// Takes bytes until `bytes` of the header have been read.
    fn take(&mut self, bytes: usize, piece: &mut &[u8]) {
        let (taken, rest) = piece.split_at(bytes.saturating_sub(self.read.len()).min(piece.len()));
        self.read.extend_from_slice(taken);
        *piece = rest;
    }

    /// Returns the number of blocks; none if it hasn't arrived yet.
    fn count(&self) -> Result<Option<usize>, IncrementalFileError> {
        let (Some(magic), Some(count), Some(_)) = (self.number(0), self.number(1), self.number(2)) else {
            return Ok(None);
        };
        if magic != MAGIC {
            return Err(IncrementalFileError::Magic { found: magic });
        }
        if count > MOST_BLOCKS {
            return Err(IncrementalFileError::TooMany { count });
        }
        Ok(Some(count as usize))
    }

    fn number(&self, index: usize) -> Option<u32> {
        let bytes = self.read.get(index * NUMBER_BYTES..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    }
}

/// Returns the size of the header of a file with this number of blocks.
fn header_bytes(count: usize) -> u64 {
    let bytes = (FIXED_BYTES + count * NUMBER_BYTES) as u64;
    if count == 0 { bytes } else { bytes.next_multiple_of(BLOCK_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a header from pieces of `length` bytes. Returns it with the number of bytes that are left.
    fn read(
        bytes: &[u8],
        file_bytes: u64,
        length: usize,
    ) -> Result<Option<(IncrementalHeader, usize)>, IncrementalFileError> {
        let mut reader = HeaderReader::new(file_bytes);
        let mut left = bytes.len();
        for mut piece in bytes.chunks(length) {
            left -= piece.len();
            if let Some(header) = reader.push(&mut piece)? {
                return Ok(Some((header, left + piece.len())));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_header_is_read_from_pieces_of_any_length_and_its_blocks_are_left() {
        for (truncation, blocks) in
            [(7, vec![]), (0, vec![]), (3, vec![0, 1, 9]), (MOST_BLOCKS, (0..5000).collect())]
        {
            let header = IncrementalHeader::new(truncation, blocks.clone()).unwrap();
            let mut file = header.to_bytes();
            file.resize(header.file_bytes() as usize, 7);
            for length in [1, 5, 4096, 8192, 1 << 20] {
                let (found, left) = read(&file, file.len() as u64, length).unwrap().unwrap();
                assert_eq!(found, header);
                assert_eq!(left as u64, blocks.len() as u64 * BLOCK_BYTES);
            }
            let cut = read(&file[..header.bytes() as usize - 1], file.len() as u64, 100).unwrap();
            assert!(cut.is_none());
        }
    }

    #[test]
    fn an_unchanged_file_has_only_a_truncation_length() {
        let unchanged = IncrementalHeader::unchanged(3 * BLOCK_BYTES).unwrap();
        assert_eq!(unchanged, IncrementalHeader::new(3, vec![]).unwrap());
        assert_eq!(unchanged.file_bytes(), 12);
        for bytes in [1, 3 * BLOCK_BYTES - 1, (u64::from(MOST_BLOCKS) + 1) * BLOCK_BYTES, u64::MAX] {
            assert_eq!(IncrementalHeader::unchanged(bytes), None, "{bytes}");
        }
    }

    #[test]
    fn blocks_that_follow_one_another_are_a_run() {
        let header = IncrementalHeader::new(4, vec![2, 3, 4, 7]).unwrap();
        let run = |position, most| header.run(position, most).map(|run| (run.blocks, run.bytes));
        let most = 1 << 30;
        assert_eq!(run(0, most), Some((2..5, 2 * 8192..5 * 8192)));
        assert_eq!(run(100, most), Some((2..5, 2 * 8192 + 100..5 * 8192)));
        assert_eq!(run(8192 + 1, most), Some((3..5, 3 * 8192 + 1..5 * 8192)));
        assert_eq!(run(3 * 8192, most), Some((7..8, 7 * 8192..8 * 8192)));
        assert_eq!(run(4 * 8192, most), None);
        assert_eq!(run(100, 8092), Some((2..3, 2 * 8192 + 100..3 * 8192)));
        assert_eq!(run(100, 8093), Some((2..4, 2 * 8192 + 100..4 * 8192)));
    }

    #[test]
    fn the_complete_file_ends_at_the_truncation_length_or_behind_the_last_block() {
        let blocks =
            |truncation, blocks| IncrementalHeader::new(truncation, blocks).unwrap().complete_blocks();
        assert_eq!([blocks(0, vec![]), blocks(9, vec![3]), blocks(2, vec![3])], [0, 9, 4]);
        assert_eq!(blocks(u32::MAX, vec![]), MOST_BLOCKS, "of a server without the correction of 2026");
    }

    #[test]
    fn what_postgresql_does_not_write_is_refused() {
        let good = IncrementalHeader::new(8, vec![3, 5]).unwrap();
        let size = good.file_bytes();
        let with = |index: usize, number: u32| {
            let mut bytes = good.to_bytes();
            bytes[4 * index..4 * index + 4].copy_from_slice(&number.to_le_bytes());
            bytes
        };
        for (bytes, size, told) in [
            (with(0, 1), size, "it begins with 0x00000001"),
            (with(1, MOST_BLOCKS + 1), size, "has 131073 blocks"),
            (with(1, u32::MAX), size, "has 4294967295 blocks"),
            (with(1, 3), size, "has 24576 bytes instead of 32768"),
            (with(1, 0), size, "has 24576 bytes instead of 12"),
            (with(3, 5), size, "has block 5 twice or out of order"),
            (with(3, 6), size, "has block 5 twice or out of order"),
            (with(4, MOST_BLOCKS), size, "has a block with the number 131072"),
            (good.to_bytes(), size + 1, "has 24577 bytes instead of 24576"),
            (good.to_bytes(), size - 1, "has 24575 bytes instead of 24576"),
        ] {
            let error = read(&bytes, size, 1 << 20).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
        assert!(HeaderReader::new(3).cut().to_string().contains("has 3 bytes instead of 12"));
    }
}
