//! One object, written from front to back in parts.

use bytes::Bytes;
use object_store::PutPayload;

use crate::{
    error::Result,
    repository::{Repository, layout::ObjectName, parts::Parts, record::RecordedObject},
};

/// An upload in progress. The object has its name only when [`finish`](Self::finish) has returned.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    repository: &'a Repository,
    name: ObjectName,
    part: Vec<Bytes>,
    part_bytes: usize,
    /// None as long as the object may fit into one part.
    parts: Option<Parts<'a>>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl<'a> Upload<'a> {
    pub(super) fn new(repository: &'a Repository, name: ObjectName) -> Self {
        Self {
            repository,
            name,
            part: Vec::new(),
            part_bytes: 0,
            parts: None,
            hasher: blake3::Hasher::new(),
            bytes: 0,
        }
    }

    pub(super) fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Returns the number of bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds to the object. Waits if enough parts are being uploaded.
    pub(super) async fn write(&mut self, piece: Bytes) -> Result<()> {
        self.hasher.update(&piece);
        self.bytes += piece.len() as u64;
        self.part_bytes += piece.len();
        self.part.push(piece);
        if self.part_bytes >= self.repository.storage().limits().part_bytes {
            self.send_part().await?;
        }
        Ok(())
    }

    async fn send_part(&mut self) -> Result<()> {
        let payload = self.take_part();
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(Parts::replace(self.repository, &self.name).await?),
        };
        parts.send(payload).await
    }

    fn take_part(&mut self) -> PutPayload {
        self.part_bytes = 0;
        PutPayload::from_iter(std::mem::take(&mut self.part))
    }

    /// Waits until the complete object is stored. If it fits into one part, it stays in memory.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        if self.parts.is_some() && !self.part.is_empty() {
            self.send_part().await?;
        }
        match &mut self.parts {
            Some(parts) => parts.wait_until_under_way(0).await,
            None => Ok(()),
        }
    }

    /// Gives the object its name, durably, and returns its entry for the commit record.
    pub(super) async fn finish(&mut self) -> Result<RecordedObject> {
        self.send_rest().await?;
        match &mut self.parts {
            Some(parts) => {
                parts.complete().await?;
                self.parts = None;
            }
            None => {
                let payload = self.take_part();
                self.repository.put_new(&self.name, payload).await?;
            }
        }
        Ok(recorded(&self.name, self.bytes, &self.hasher))
    }

    /// Abandons the upload: its parts are removed as far as the storage allows. An object that was completed without a
    /// response may keep its name; it is removed with the claim.
    pub(super) async fn abort(&mut self) {
        if let Some(parts) = self.parts.take() {
            parts.abort().await;
        }
    }
}

/// Returns the entry of a stored object for the commit record.
pub(super) fn recorded(name: &ObjectName, bytes: u64, hasher: &blake3::Hasher) -> RecordedObject {
    RecordedObject {
        name: name.to_string(),
        bytes,
        blake3: hasher.finalize().to_hex().to_string(),
        tar_bytes: None,
        tablespace_location: None,
    }
}
