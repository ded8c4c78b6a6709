use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};

use crate::{
    error::{Error, Result},
    repository::record::RecordedObject,
};

/// What came of an object so far, to be held against the commit record.
#[derive(Debug, Default)]
pub(super) struct Hashed {
    hasher: blake3::Hasher,
    pub(super) bytes: u64,
}

impl Hashed {
    pub(super) fn add(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// Adds each piece of `stream` as it passes.
    pub(super) fn pass<'a>(
        &'a mut self,
        stream: impl Stream<Item = object_store::Result<Bytes>> + Send + 'a,
    ) -> BoxStream<'a, std::io::Result<Bytes>> {
        stream.inspect_ok(|piece| self.add(piece)).map_err(std::io::Error::from).boxed()
    }

    pub(super) fn check(&self, recorded: &RecordedObject) -> Result<()> {
        if self.bytes != recorded.bytes {
            let reason = format!("{} bytes were stored, and {} came back", recorded.bytes, self.bytes);
            return Err(Error::damaged(&recorded.name, reason));
        }
        if self.hasher.finalize().to_hex().as_str() != recorded.blake3 {
            return Err(Error::damaged(&recorded.name, "its content doesn't fit its checksum"));
        }
        Ok(())
    }
}
