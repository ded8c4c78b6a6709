//! Compresses a WAL file, on all cores if PostgreSQL waits for it.
//!
//! Each core has one thread from the first piece to the last, since the allocator keeps freed memory for each thread. A
//! frame outlives its piece, so its memory is allocated by the caller.

use std::{io, num::NonZeroUsize, ops::Range, thread::available_parallelism};

use bytes::Bytes;
use futures::{Stream, stream};
use swiftwal_compression::{Codec, compress_frame_into, most_compressed};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    error::{Error, Result},
    local::content::Content,
    repository::wal_file::WalFile,
};

/// The longest piece. Longer ones compress by less than a hundredth better, and take longer: they need more memory that
/// isn't in the processor's cache.
const PIECE_BYTES: u64 = 1 << 20;
/// More threads gain little, and the database needs them.
const MOST_THREADS: usize = 4;

/// The threads that compress one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// As many as there are, for a file that PostgreSQL waits for.
    All,
    /// One, for a file among others.
    One,
}

/// Returns how many threads compress at most.
pub(crate) fn most_threads() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS)
}

/// Compresses the file into frames. At most as many frames wait as there are threads.
///
/// # Errors
///
/// [`Error::Local`], also if the file changes its size meanwhile.
pub(super) fn frames(
    file: &WalFile,
    codec: Codec,
    threads: Threads,
) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    let cores = match threads {
        Threads::All => most_threads(),
        Threads::One => 1,
    };
    let pieces = pieces(file.bytes());
    let (path, count) = (file.path().to_owned(), pieces.len());
    let mut pieces = pieces.into_iter();
    let workers = pieces.by_ref().take(cores).map(|piece| Worker::start(file, codec).with(piece));
    let workers: Vec<_> = workers.collect();
    // The frames must be returned in the order of the pieces.
    stream::try_unfold((workers, pieces, 0), move |(mut workers, mut pieces, number)| {
        let ended = Error::local("read and compress", path.clone());
        async move {
            if number == count {
                return Ok(None);
            }
            let turn = number % workers.len();
            let frame = workers[turn].frames.recv().await;
            let frame = frame.ok_or_else(|| ended(io::Error::other("the thread for it has ended")))??;
            if let Some(piece) = pieces.next() {
                workers[turn].begin(piece);
            }
            Ok(Some((frame, (workers, pieces, number + 1))))
        }
    })
}

/// A thread that compresses one piece after the other.
struct Worker {
    pieces: UnboundedSender<(Range<u64>, Vec<u8>)>,
    frames: UnboundedReceiver<Result<Bytes>>,
}

impl Worker {
    fn start(file: &WalFile, codec: Codec) -> Self {
        let (pieces, mut given) = unbounded_channel::<(Range<u64>, Vec<u8>)>();
        let (done, frames) = unbounded_channel();
        let (content, path, bytes) = (file.content().clone(), file.path().to_owned(), file.bytes());
        spawn_blocking(move || {
            let mut buffer = Vec::new();
            while let Some((piece, reserved)) = given.blocking_recv() {
                let is_last = piece.end == bytes;
                let frame = compress_piece(&content, piece, is_last, codec, reserved, &mut buffer);
                // The receiver may have given up.
                let _ = done.send(frame.map_err(Error::local("read and compress", &path)));
            }
        });
        Self { pieces, frames }
    }

    fn with(self, piece: Range<u64>) -> Self {
        self.begin(piece);
        self
    }

    fn begin(&self, piece: Range<u64>) {
        let bytes = usize::try_from(piece.end - piece.start).unwrap_or(usize::MAX);
        let reserved = Vec::with_capacity(most_compressed(bytes));
        // A thread that has ended has no frame to return either.
        let _ = self.pieces.send((piece, reserved));
    }
}

/// Splits the file into pieces of nearly equal size. An empty file is one piece.
fn pieces(bytes: u64) -> Vec<Range<u64>> {
    let count = bytes.div_ceil(PIECE_BYTES).max(1);
    (0..count).map(|number| bytes * number / count..bytes * (number + 1) / count).collect()
}

/// Compresses one frame. The last piece must end with the file: a file that has grown or shrunk is an error.
fn compress_piece(
    content: &Content,
    piece: Range<u64>,
    is_last: bool,
    codec: Codec,
    reserved: Vec<u8>,
    buffer: &mut Vec<u8>,
) -> io::Result<Bytes> {
    buffer.resize(usize::try_from(piece.end - piece.start).map_err(io::Error::other)?, 0);
    let read = read_full(content, buffer, piece.start)?;
    if read < buffer.len() || (is_last && content.read_at(&mut [0], piece.end)? > 0) {
        let message = "the file changed its size while it was read";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    compress_frame_into(codec, buffer, reserved).map(Bytes::from)
}

/// Fills the buffer, as far as the content reaches, and returns the number of bytes.
fn read_full(content: &Content, buffer: &mut [u8], start: u64) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        match content.read_at(&mut buffer[filled..], start + filled as u64)? {
            0 => return Ok(filled),
            read => filled += read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn pieces_are_the_whole_file_one_behind_the_other() {
        for (bytes, count) in [(0, 1), (100, 1), (MIB, 1), (MIB + 1, 2), (16 * MIB, 16), (1024 * MIB, 1024)] {
            let pieces = pieces(bytes);
            assert_eq!(pieces.len(), count, "{bytes} bytes");
            let ends = pieces.iter().fold(0, |end, piece| {
                assert_eq!(piece.start, end);
                piece.end
            });
            assert_eq!(ends, bytes);
            assert!(pieces.iter().all(|piece| piece.end - piece.start <= MIB));
        }
    }
}
