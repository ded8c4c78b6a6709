//! Verifies the objects that a restore reads, by the hashes in the commit record.

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};

use crate::{
    error::{Error, Result},
    repository::record::RecordedObject,
};

/// The part of an object that has arrived so far, to be compared with the commit record.
#[derive(Debug, Default)]
pub(crate) struct Hashed {
    hasher: blake3::Hasher,
    pub(super) bytes: u64,
    beginning: Option<Beginning>,
}

/// The part that had arrived at the first reading of the object.
#[derive(Debug)]
struct Beginning {
    bytes: u64,
    hash: blake3::Hash,
    /// The hash of the same number of bytes this time, when they have arrived.
    again: Option<blake3::Hash>,
}

impl Hashed {
    /// Returns the state for a second reading of the object, after `self` had arrived at the first one.
    pub(super) fn once_more(&self) -> Self {
        let mut again = Self {
            beginning: Some(Beginning { bytes: self.bytes, hash: self.hasher.finalize(), again: None }),
            ..Self::default()
        };
        again.note_beginning();
        again
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        let until = self.beginning.as_ref().and_then(|first| first.bytes.checked_sub(self.bytes));
        let until = until.map_or(0, |until| usize::try_from(until).unwrap_or(usize::MAX).min(piece.len()));
        let (before, behind) = piece.split_at(until);
        self.hasher.update(before);
        self.bytes += before.len() as u64;
        self.note_beginning();
        self.hasher.update(behind);
        self.bytes += behind.len() as u64;
    }

    fn note_beginning(&mut self) {
        if let Some(first) = &mut self.beginning
            && first.bytes == self.bytes
            && first.again.is_none()
        {
            first.again = Some(self.hasher.finalize());
        }
    }

    /// Fails unless the bytes of the first reading arrived again.
    pub(super) fn check_beginning(&self, object: impl ToString) -> Result<()> {
        match &self.beginning {
            Some(first) if first.again != Some(first.hash) => Err(Error::damaged(
                object,
                format!(
                    "its first {} bytes were read twice and differ; restore again, and if that happens again, check the \
                     network, the disks and the memory between here and the storage",
                    first.bytes
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Hashes each piece of `stream` as it passes.
    pub(crate) fn pass<'a>(
        &'a mut self,
        stream: impl Stream<Item = object_store::Result<Bytes>> + Send + 'a,
    ) -> BoxStream<'a, std::io::Result<Bytes>> {
        stream.inspect_ok(|piece| self.add(piece)).map_err(std::io::Error::from).boxed()
    }

    pub(crate) fn check(&self, recorded: &RecordedObject) -> Result<()> {
        if self.bytes != recorded.bytes {
            let reason = format!("{} bytes were stored, and {} were read", recorded.bytes, self.bytes);
            return Err(Error::damaged(&recorded.name, reason));
        }
        if self.hasher.finalize().to_hex().as_str() != recorded.blake3 {
            return Err(Error::damaged(&recorded.name, "its content doesn't match its checksum"));
        }
        Ok(())
    }
}
