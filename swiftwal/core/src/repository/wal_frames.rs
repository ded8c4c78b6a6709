//! Compresses a WAL file on all cores: PostgreSQL waits for it, and archives one file at a time.
//!
//! Each core has one thread from the first piece to the last, since the allocator keeps freed memory for each thread. A
//! frame outlives its piece, so its memory is allocated by the caller.

use std::{io, num::NonZeroUsize, ops::Range, thread::available_parallelism};

use bytes::Bytes;
use futures::{Stream, stream};
use swiftwal_compression::{Codec, Encoder};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::spawn_blocking,
};

use crate::{
    error::{Error, Result},
    local::content::Content,
    repository::wal_file::WalFile,
};

/// The size of a piece that is worth a thread: about 15 ms of work.
const PIECE_BYTES: u64 = 4 << 20;
/// The longest piece of a large file. As many are in memory, compressed, as there are threads.
const LARGE_PIECE_BYTES: u64 = 1 << 20;
/// More threads gain little, and the database needs them.
const MOST_THREADS: usize = 4;
const BUFFER_BYTES: usize = 256 << 10;

/// Compresses the file into frames, in chunks. At most as many frames wait as there are threads, and they are small if
/// the file has more than `large` bytes.
///
/// # Errors
///
/// [`Error::Local`], also if the file changes its size meanwhile.
pub(super) fn frames(
    file: &WalFile,
    codec: Codec,
    large: u64,
) -> impl Stream<Item = Result<Vec<Bytes>>> + Send + use<> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get).min(MOST_THREADS);
    let pieces = pieces(file.bytes(), cores, large);
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
    frames: UnboundedReceiver<Result<Vec<Bytes>>>,
}

impl Worker {
    fn start(file: &WalFile, codec: Codec) -> Self {
        let (pieces, mut given) = unbounded_channel::<(Range<u64>, Vec<u8>)>();
        let (done, frames) = unbounded_channel();
        let (content, path, bytes) = (file.content().clone(), file.path().to_owned(), file.bytes());
        spawn_blocking(move || {
            let mut buffer = vec![0; BUFFER_BYTES];
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
        let reserved = Vec::with_capacity(most_compressed(piece.end - piece.start));
        // A thread that has ended has no frame to return either.
        let _ = self.pieces.send((piece, reserved));
    }
}

/// Splits the file into pieces of nearly equal size: one for each core, but a single one for a small or empty file, and
/// many for a large one.
fn pieces(bytes: u64, cores: usize, large: u64) -> Vec<Range<u64>> {
    let count = match bytes > large {
        false => (bytes / PIECE_BYTES).clamp(1, cores as u64),
        true => bytes.div_ceil(LARGE_PIECE_BYTES),
    };
    (0..count).map(|number| bytes * number / count..bytes * (number + 1) / count).collect()
}

/// Returns how much memory suffices for this many incompressible bytes, in any format.
fn most_compressed(bytes: u64) -> usize {
    usize::try_from(bytes + bytes / 512 + 1024).unwrap_or(usize::MAX)
}

/// Compresses one frame. The last piece is read to the current end of the file: a file that has grown or shrunk is an
/// error.
fn compress_piece(
    content: &Content,
    piece: Range<u64>,
    is_last: bool,
    codec: Codec,
    reserved: Vec<u8>,
    buffer: &mut [u8],
) -> io::Result<Vec<Bytes>> {
    let mut encoder = Encoder::into_reserved(codec, Some(piece.end - piece.start), reserved)?;
    let mut position = piece.start;
    loop {
        let wanted = if is_last { u64::MAX } else { piece.end - position };
        let room = usize::try_from(wanted).map_or(BUFFER_BYTES, |wanted| wanted.min(BUFFER_BYTES));
        match content.read_at(&mut buffer[..room], position)? {
            0 => return encoder.finish(),
            read => {
                encoder.write(&buffer[..read])?;
                position += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn pieces_are_the_whole_file_one_behind_the_other() {
        for (bytes, cores, count) in [
            (0, 4, 1),
            (100, 4, 1),
            (7 * MIB, 4, 1),
            (16 * MIB, 1, 1),
            (16 * MIB, 2, 2),
            (16 * MIB, 4, 4),
            (64 * MIB, 1, 64),
            (64 * MIB + 1, 4, 65),
            (1024 * MIB, 4, 1024),
        ] {
            let pieces = pieces(bytes, cores, 16 * MIB);
            assert_eq!(pieces.len(), count, "{bytes} bytes on {cores} cores");
            let ends = pieces.iter().fold(0, |end, piece| {
                assert_eq!(piece.start, end);
                piece.end
            });
            assert_eq!(ends, bytes);
            let longest = pieces.iter().map(|piece| piece.end - piece.start).max();
            assert!(bytes <= 16 * MIB || longest <= Some(MIB));
        }
    }
}
