//! The files of an incremental backup that contain only the blocks that may have changed: `INCREMENTAL.<name>`.
//!
//! PostgreSQL writes a header and then the blocks. The header has four-byte numbers: a magic number, the number of
//! blocks, the truncation length in blocks, and the number of each block, in ascending order. If there are blocks, it is
//! padded to a multiple of the block size. See PostgreSQL's `src/backend/backup/basebackup.c` and
//! `src/bin/pg_combinebackup/reconstruct.c`.
//!
//! Below the truncation length, a block that the file lacks is the one of an older backup. At or above it, there are
//! only the blocks of the file.

mod header;
mod name;

pub(crate) use self::name::{complete_file, has_relations, split};
pub use self::{
    header::{HeaderReader, IncrementalFileError, IncrementalHeader, Run},
    name::complete_name,
};

/// The size of a block.
pub const BLOCK_BYTES: u64 = 8192;
/// The largest number of blocks in a file: those of a segment of a relation.
pub const MOST_BLOCKS: u32 = 131_072;
