//! Fetches an object of a tar from front to back, if there is no index or it doesn't fit.

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
        let mut piece = pieces.buffers.take(PIECE_BYTES).await;
        let read = (&mut reader).take(PIECE_BYTES as u64).read_to_end(&mut piece.bytes).await;
        if read.map_err(|error| repository.unreadable(&tar.name, error))? == 0 {
            break;
        }
        let mut piece = piece.freeze();
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

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use bytes::Bytes;
    use object_store::local::LocalFileSystem;
    use swiftwal_compression::Format;
    use tokio::sync::mpsc;

    use super::{super::buffers::Buffers, *};
    use crate::{local::clock::SystemClock, repository::layout::ObjectName, storage::Storage};

    const MIB: u64 = 1 << 20;

    /// Without a commit record, only the size shows that the end is missing.
    #[tokio::test]
    async fn an_object_without_a_record_that_ends_early_is_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let name = ObjectName::parse("pg_basebackup_20130828T1810Z.tar");
        let path = directory.path().join(name.to_string());
        fs::write(&path, vec![0; 16 << 20]).unwrap();
        let store = LocalFileSystem::new_with_prefix(directory.path()).unwrap();
        let repository = Repository::new(Storage::new(Arc::new(store)), "a test", Arc::new(SystemClock));
        let (sender, mut receiver) = mpsc::channel(1);
        let cutting = async {
            let mut received = 0;
            while let Some(piece) = receiver.recv().await {
                received += Bytes::len(&piece) as u64;
                if received <= MIB {
                    fs::File::options().write(true).open(&path).unwrap().set_len(8 * MIB).unwrap();
                }
            }
            received
        };
        let tar = TarPiece { name, format: Format::None, recorded: None, tar_bytes: None, indexed: None };
        let fetching = async {
            let mut pieces = Pieces { sender, buffers: Buffers::new(), sent_bytes: 0, progress: &|| {} };
            fetch_stream(&repository, &tar, &mut pieces, Hashed::default()).await
        };
        let (fetched, received) = tokio::join!(fetching, cutting);
        assert_eq!(received, 8 * MIB);
        let error = fetched.unwrap_err().to_string();
        assert!(error.contains("received only 8388608 of its 16777216 bytes"), "{error}");
    }
}
