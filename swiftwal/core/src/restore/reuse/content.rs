//! Writes the needed files of a tar from the frames that were fetched.

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering},
    vec,
};

use bytes::Bytes;
use swiftwal_postgres::tar_stream::TarVisitor;
use tokio::sync::mpsc;

use super::file::{IndexedFile, ListedMember, Members};
use crate::{
    error::{Error, Result},
    restore::extract::{Extracted, Extractor, OlderTar},
};

/// The frames of a tar as they arrive.
#[derive(Debug)]
pub(super) struct ArrivingFrames<'a> {
    pieces: mpsc::Receiver<Bytes>,
    /// The bytes of the tar that the frames contain which haven't arrived.
    left: vec::IntoIter<Range<u64>>,
    current: (Range<u64>, Bytes),
    /// Counts the bytes that were used.
    written: &'a AtomicU64,
}

impl<'a> ArrivingFrames<'a> {
    pub(super) fn new(
        pieces: mpsc::Receiver<Bytes>,
        frames: Vec<Range<u64>>,
        written: &'a AtomicU64,
    ) -> Self {
        Self { pieces, left: frames.into_iter(), current: (0..0, Bytes::new()), written }
    }

    /// Passes the bytes `range` of the tar to `take`. They don't precede those of an earlier call.
    fn read(
        &mut self,
        range: Range<u64>,
        object: &str,
        mut take: impl FnMut(&Bytes) -> Result<()>,
    ) -> Result<()> {
        let mut position = range.start;
        while position < range.end {
            while self.current.0.end <= position {
                self.next(object)?;
            }
            let (frame, piece) = &self.current;
            let slice = position.checked_sub(frame.start).and_then(|start| {
                let end = range.end.min(frame.end) - frame.start;
                Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
            });
            let slice =
                slice.ok_or_else(|| Error::damaged(object, "its index has files in the wrong order"))?;
            position += slice.len() as u64;
            take(&piece.slice(slice))?;
        }
        Ok(())
    }

    fn next(&mut self, object: &str) -> Result<()> {
        let cut = || Error::damaged(object, "its index doesn't fit it");
        let frame = self.left.next().ok_or_else(cut)?;
        let piece = self.pieces.blocking_recv().filter(|piece| piece.len() as u64 == frame.end - frame.start);
        self.written.fetch_add(frame.end - frame.start, Ordering::Relaxed);
        self.current = (frame, piece.ok_or_else(cut)?);
        Ok(())
    }
}

/// Writes the members of a tar. Only the files with the numbers in `needed`, which are in order, are read from `frames`;
/// the others exist. Without numbers, all of them are.
pub(super) fn write_content(
    mut extractor: Extractor,
    members: Members,
    needed: Option<&[u32]>,
    mut frames: ArrivingFrames<'_>,
) -> Result<Extracted> {
    let object = members.object().to_owned();
    for member in members {
        match member? {
            ListedMember::Other(member) => extractor.member(member)?,
            ListedMember::File(file) if !is_needed(needed, file.number) => {
                let bytes = file.restored().map_or(file.member.bytes, |restored| restored.bytes);
                extractor.keep_existing(&file.member, bytes)
            }
            ListedMember::File(file) if file.is_left_out() && !file.is_incremental() => {
                extractor.create_without_content(&file.member)?
            }
            ListedMember::File(file) => {
                let content = file.content(&object)?;
                extractor.member(file.member)?;
                frames.read(content, &object, |piece| extractor.write_piece(piece))?;
                extractor.end()?;
            }
        }
    }
    extractor.finish()
}

/// Reads the files with the numbers in `needed`, which are in order, of a tar of an older backup.
pub(super) fn read_older(
    mut older: OlderTar,
    members: Members,
    needed: Option<&[u32]>,
    mut frames: ArrivingFrames<'_>,
) -> Result<Extracted> {
    let object = members.object().to_owned();
    for member in members {
        match member? {
            ListedMember::File(file) if is_needed(needed, file.number) => {
                let content = file.content(&object)?;
                older.member(file.member)?;
                frames.read(content, &object, |piece| older.read_piece(piece))?;
                older.end()?;
            }
            ListedMember::File(IndexedFile { member, .. }) | ListedMember::Other(member) => {
                older.skip(&member)
            }
        }
    }
    older.finish()
}

/// Whether the file with this number must be read from the backup.
pub(super) fn is_needed(needed: Option<&[u32]>, number: u32) -> bool {
    needed.is_none_or(|needed| needed.binary_search(&number).is_ok())
}
