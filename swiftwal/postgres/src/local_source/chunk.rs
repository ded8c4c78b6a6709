//! Reads one chunk of a tar.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;

use super::{
    cache_sparing::{read_slice, slices},
    failure::unreadable,
    page_checks::{DamagedPage, PageChecks},
    plan::{FilePiece, Member, Piece, Plan},
};
use crate::{ChunkBuffer, SourceError};

/// A chunk, and what was seen in it.
#[derive(Debug)]
pub(super) struct Chunk {
    /// The bytes of the tar, which may be none.
    pub(super) data: Bytes,
    /// The pieces of files, in order.
    pub(super) files: Vec<FileSum>,
    /// What can't be in the backup.
    pub(super) skipped: Vec<PathBuf>,
}

/// The checksum of a piece of a file, and the damaged pages in it.
#[derive(Debug)]
pub(super) struct FileSum {
    pub(super) member: Arc<Member>,
    pub(super) bytes: usize,
    pub(super) crc32c: u32,
    pub(super) damaged: Vec<DamagedPage>,
    /// Whether the file ends with it.
    pub(super) is_last: bool,
}

/// Reads what `plan` says. A file that became shorter in the meantime is filled up with zeros: recovery truncates it again.
pub(super) fn read(
    plan: Plan,
    buffer: ChunkBuffer,
    checks: Option<PageChecks>,
) -> Result<Chunk, SourceError> {
    let mut buffer = buffer;
    let mut files = Vec::new();
    let mut rest = &mut buffer.content[..];
    for piece in plan.pieces {
        let place = match &piece {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Zeros(bytes) | Piece::File(FilePiece { bytes, .. }) => *bytes,
        };
        let (place, after) = rest.split_at_mut(place);
        rest = after;
        match piece {
            Piece::Bytes(bytes) => place.copy_from_slice(&bytes),
            Piece::Zeros(_) => place.fill(0),
            Piece::File(piece) => files.push(file(&piece, place, checks)?),
        }
    }
    Ok(Chunk { data: buffer.filled(plan.bytes), files, skipped: plan.skipped })
}

/// Reads slice by slice, so that each is checked while it is in the processor's cache.
fn file(piece: &FilePiece, place: &mut [u8], checks: Option<PageChecks>) -> Result<FileSum, SourceError> {
    let FilePiece { member, file, offset, bytes } = piece;
    let unreadable = |error| unreadable(&member.name, error);
    let (mut damaged, mut crc32c) = (Vec::new(), 0);
    for (offset, slice) in slices(*offset, place) {
        let read = read_slice(file, slice, offset).map_err(unreadable)?;
        slice[read..].fill(0);
        if let Some(checks) = checks {
            damaged.extend(checks.check((file, member), slice, offset).map_err(unreadable)?);
        }
        crc32c = crc32c::crc32c_append(crc32c, slice);
    }
    let is_last = offset + *bytes as u64 == member.bytes;
    Ok(FileSum { member: Arc::clone(member), bytes: *bytes, crc32c, damaged, is_last })
}
