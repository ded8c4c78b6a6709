//! Cuts a tar into the pieces that become frames.

use bytes::Bytes;
use swiftwal_postgres::{CHUNK_BYTES, ChunkBuffer, ChunkPool};

/// The largest amount of tar in one frame, in bytes: large enough to compress as well as the complete tar, and small
/// enough to keep a dozen frames in memory. The format allows up to 16 MiB.
pub(super) const FRAME_BYTES: usize = CHUNK_BYTES;

/// Collects chunks into frames of [`FRAME_BYTES`]. A chunk that is a complete frame isn't copied.
#[derive(Debug, Default)]
pub(super) struct Framer {
    pool: ChunkPool,
    /// The incomplete frame; none if it is empty.
    partial: Option<ChunkBuffer>,
    partial_bytes: usize,
}

impl Framer {
    /// Splits off the part of a chunk that belongs to the current frame.
    pub(super) fn cut(&self, chunk: &mut Bytes) -> Bytes {
        chunk.split_to(chunk.len().min(FRAME_BYTES - self.partial_bytes))
    }

    /// Adds a piece that was [`cut`](Self::cut) to fit, and returns the frame when it is complete.
    pub(super) fn add(&mut self, piece: Bytes) -> Option<Bytes> {
        if piece.len() == FRAME_BYTES {
            return Some(piece);
        }
        let buffer = self.partial.get_or_insert_with(|| self.pool.take());
        let end = self.partial_bytes + piece.len();
        buffer.content[self.partial_bytes..end].copy_from_slice(&piece);
        self.partial_bytes = end;
        (end == FRAME_BYTES).then(|| self.rest())
    }

    /// Returns the incomplete last frame.
    pub(super) fn rest(&mut self) -> Bytes {
        let bytes = std::mem::take(&mut self.partial_bytes);
        self.partial.take().map(|buffer| buffer.filled(bytes)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_full_but_for_the_last_and_lose_nothing() {
        let tar: Vec<u8> = (0..FRAME_BYTES * 2 + 1000).map(|n| (n % 251) as u8).collect();
        let mut framer = Framer::default();
        let mut frames = Vec::new();
        for chunk in tar.chunks(100_003) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while !chunk.is_empty() {
                let piece = framer.cut(&mut chunk);
                frames.extend(framer.add(piece));
            }
        }
        assert!(frames.iter().all(|frame| frame.len() == FRAME_BYTES));
        frames.push(framer.rest());
        assert_eq!(frames.concat(), tar);
    }

    #[test]
    fn the_memory_of_a_frame_is_used_again() {
        let mut framer = Framer::default();
        let mut place = |byte: u8| {
            let piece = Bytes::from(vec![byte; FRAME_BYTES / 2]);
            assert!(framer.add(piece.clone()).is_none());
            let frame = framer.add(piece).unwrap();
            assert!(frame.iter().all(|found| *found == byte));
            frame.as_ptr()
        };
        assert_eq!(place(1), place(2));
    }

    #[test]
    fn a_full_chunk_becomes_a_frame_without_being_copied() {
        let mut chunk = Bytes::from(vec![1; FRAME_BYTES]);
        let (place, mut framer) = (chunk.as_ptr(), Framer::default());
        let piece = framer.cut(&mut chunk);
        assert_eq!(framer.add(piece).unwrap().as_ptr(), place);
        assert!(chunk.is_empty());
    }
}
