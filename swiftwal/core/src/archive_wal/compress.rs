//! Compresses a WAL file with every core: PostgreSQL waits for it, and archives one file at a time.

use std::{
    fs::File, io, num::NonZeroUsize, ops::Range, os::unix::fs::FileExt, thread::available_parallelism,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::PutPayload;
use swiftwal_compression::{Codec, Encoder};

use super::WalFile;
use crate::{
    error::{Error, Result},
    local::blocking::blocking,
};

/// A piece that is worth a thread: some 15 ms of it.
const PIECE_BYTES: u64 = 4 << 20;
/// More threads gain little, and the database wants them.
const MOST_PIECES: usize = 4;
const BUFFER_BYTES: usize = 256 << 10;

/// The file compressed, as one frame or as a few in a row.
///
/// # Errors
/// [`Error::Local`], also where the file changes its size meanwhile.
pub(super) async fn compress(file: &WalFile, codec: Codec) -> Result<PutPayload> {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let compressing = pieces(file.bytes, cores).into_iter().map(|piece| async move {
        let (input, path) = (file.reopen()?, file.path.clone());
        let is_last = piece.end == file.bytes;
        blocking(move || {
            compress_piece(&input, piece, is_last, codec).map_err(Error::local("read and compress", path))
        })
        .await
    });
    let frames: Vec<Vec<Bytes>> = stream::iter(compressing).buffered(MOST_PIECES).try_collect().await?;
    Ok(frames.into_iter().flatten().collect())
}

/// The file in even pieces, at most one for each core; a small or empty file is one.
fn pieces(bytes: u64, cores: usize) -> Vec<Range<u64>> {
    let most = cores.min(MOST_PIECES) as u64;
    let count = (bytes / PIECE_BYTES).clamp(1, most);
    (0..count).map(|number| bytes * number / count..bytes * (number + 1) / count).collect()
}

/// One frame. The last piece is read to the file's end, wherever that is by now: a file that has grown is an error,
/// as one that has shrunk.
fn compress_piece(file: &File, piece: Range<u64>, is_last: bool, codec: Codec) -> io::Result<Vec<Bytes>> {
    let mut encoder = Encoder::new(codec, Some(piece.end - piece.start))?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut position = piece.start;
    loop {
        let wanted = if is_last { u64::MAX } else { piece.end - position };
        let room = usize::try_from(wanted).map_or(BUFFER_BYTES, |wanted| wanted.min(BUFFER_BYTES));
        match file.read_at(&mut buffer[..room], position)? {
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
            (0, 8, 1),
            (100, 8, 1),
            (7 * MIB, 8, 1),
            (16 * MIB, 2, 2),
            (16 * MIB + 1, 64, 4),
            (64 * MIB, 1, 1),
        ] {
            let pieces = pieces(bytes, cores);
            assert_eq!(pieces.len(), count, "{bytes} bytes on {cores} cores");
            let ends = pieces.iter().fold(0, |end, piece| {
                assert_eq!(piece.start, end);
                piece.end
            });
            assert_eq!(ends, bytes);
        }
    }
}
