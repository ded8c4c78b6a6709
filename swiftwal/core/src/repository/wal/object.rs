//! The opened object of a WAL file, read as a stream, since a segment may have 1 GiB.

use std::io;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetResult};
use swiftwal_compression::{Format, decoder};
use swiftwal_postgres::WalName;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::ObserveSize;
use crate::{
    error::Result,
    repository::{
        Repository,
        layout::ObjectName,
        objects::{object_pieces, refuse_too_large},
    },
};

/// The opened object of a WAL file.
#[derive(Debug)]
pub(crate) struct WalObject {
    /// The object's name.
    pub(crate) name: ObjectName,
    format: Format,
    found: GetResult,
}

impl WalObject {
    /// Returns its size as stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.found.meta.size
    }

    /// Returns the content of the WAL file, decompressed as it is read. An error may be the storage's or the content's;
    /// [`Repository::unreadable`] distinguishes them.
    pub(crate) fn content(self) -> Box<dyn AsyncRead + Send + Unpin> {
        let expected = self.found.meta.size;
        let stored = exactly(expected, object_pieces(self.found)).boxed();
        decoder(self.format, StreamReader::new(stored))
    }
}

impl Repository {
    /// Opens a WAL file in one compression; none if it is missing.
    pub(super) async fn open_wal(
        &self,
        name: WalName,
        format: Format,
        options: GetOptions,
        observe_size: ObserveSize<'_>,
    ) -> Result<Option<WalObject>> {
        self.open_wal_object(ObjectName::Wal { name, format }, format, options, observe_size).await
    }

    /// Opens an object that contains a WAL file in this compression. None if it is missing.
    pub(crate) async fn open_wal_object(
        &self,
        name: ObjectName,
        format: Format,
        options: GetOptions,
        observe_size: ObserveSize<'_>,
    ) -> Result<Option<WalObject>> {
        let Some(found) = self.open_with(&name, options).await? else { return Ok(None) };
        observe_size(found.meta.size);
        refuse_too_large(&name, found.meta.size)?;
        Ok(Some(WalObject { name, format, found }))
    }
}

/// Passes on `expected` bytes, and fails if there are more or fewer.
fn exactly(
    expected: u64,
    pieces: impl Stream<Item = object_store::Result<Bytes>> + Send + Unpin,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((pieces, 0), move |(mut pieces, received)| async move {
        let piece = pieces.try_next().await?;
        let received = received + piece.as_ref().map_or(0, |piece| piece.len() as u64);
        let reason = match piece {
            Some(_) if received > expected => format!("received more than its {expected} bytes"),
            None if received < expected => format!("received only {received} of its {expected} bytes"),
            piece => return Ok(piece.map(|piece| (piece, (pieces, received)))),
        };
        Err(io::Error::new(io::ErrorKind::InvalidData, reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn more_or_fewer_bytes_than_the_object_has_are_an_error() {
        let read = async |expected| {
            let pieces = ["ab", "c"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            exactly(expected, stream::iter(pieces)).map_ok(|piece| piece.to_vec()).try_concat().await
        };
        assert_eq!(read(3).await.unwrap(), b"abc");
        assert_eq!(read(2).await.unwrap_err().to_string(), "received more than its 2 bytes");
        assert_eq!(read(4).await.unwrap_err().to_string(), "received only 3 of its 4 bytes");
    }
}
