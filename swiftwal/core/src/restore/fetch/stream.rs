//! Fetches an object of a tar from front to back, if there is no index or it doesn't fit.

use bytes::Bytes;
use swiftwal_compression::decoder;
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use super::{Hashed, Pieces, TarPiece};
use crate::{
    error::{Error, Result},
    repository::{Repository, object_pieces},
};

/// The size of the pieces.
const PIECE_BYTES: usize = 1 << 20;

/// Reads the object from front to back, and sends the part of the tar that wasn't sent before. Returns whether the
/// receiver took it to its end. `hashed` contains the stored bytes that were read before: not every compression detects
/// that they were read wrongly.
pub(super) async fn fetch_stream(
    repository: &Repository,
    tar: &TarPiece,
    pieces: &mut Pieces<'_>,
    mut hashed: Hashed,
) -> Result<bool> {
    let Some(object) = repository.open(&tar.name).await? else {
        return Err(repository.missing(&tar.name));
    };
    let expected = object.meta.size;
    let stored = hashed.pass(object_pieces(object));
    let mut reader = decoder(tar.format, StreamReader::new(stored));
    let mut skip = pieces.sent_bytes;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut reader).take(PIECE_BYTES as u64).read_to_end(&mut piece).await;
        if read.map_err(|error| repository.unreadable(&tar.name, error))? == 0 {
            break;
        }
        let mut piece = Bytes::from(piece);
        let known = piece.split_to(usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len()));
        skip -= known.len() as u64;
        if !piece.is_empty() && !pieces.send(piece).await {
            return Ok(false);
        }
    }
    drop(reader);
    if tar.recorded.is_none() && hashed.bytes != expected {
        return Err(Error::damaged(
            &tar.name,
            format!("received only {} of its {expected} bytes", hashed.bytes),
        ));
    }
    tar.check(&hashed)?;
    hashed.check_beginning(&tar.name)?;
    Ok(true)
}
