//! One object, written from front to back in parts.

use std::time::Duration;

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    error::{Error, Result},
    repository::{Repository, layout::ObjectName, path, record::RecordedObject},
};

/// How many parts are under way at a time.
const PARTS_IN_FLIGHT: usize = 2;
/// The time that an abandoned upload waits for those. The person who stopped it is waiting, too.
const LAST_PARTS: Duration = Duration::from_secs(5);

/// An object being uploaded. It has its name only when [`finish`](Self::finish) has returned.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    repository: &'a Repository,
    name: ObjectName,
    part: Vec<Bytes>,
    part_bytes: usize,
    /// None as long as one part might be all.
    multipart: Option<Box<dyn MultipartUpload>>,
    under_way: JoinSet<object_store::Result<()>>,
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
            multipart: None,
            under_way: JoinSet::new(),
            hasher: blake3::Hasher::new(),
            bytes: 0,
        }
    }

    /// The bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds to the object. It waits while enough parts are under way.
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
        while self.under_way.len() >= PARTS_IN_FLIGHT {
            self.one_arrived().await?;
        }
        let payload = self.take_part();
        let multipart = match &mut self.multipart {
            Some(multipart) => multipart,
            none => {
                let begun = self.repository.storage().store().put_multipart(&path(&self.name)).await;
                none.insert(begun.map_err(self.repository.failed("begin to write", &self.name))?)
            }
        };
        self.under_way.spawn(multipart.put_part(payload));
        Ok(())
    }

    fn take_part(&mut self) -> PutPayload {
        self.part_bytes = 0;
        PutPayload::from_iter(std::mem::take(&mut self.part))
    }

    async fn one_arrived(&mut self) -> Result<()> {
        match self.under_way.join_next().await {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(source))) => Err(self.repository.failed("write a part of", &self.name)(source)),
            Some(Err(broken)) => Err(Error::damaged(&self.name, broken)),
        }
    }

    /// Waits until all of the object is stored, or in memory where one part is all.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        if self.multipart.is_some() {
            if !self.part.is_empty() {
                self.send_part().await?;
            }
            while !self.under_way.is_empty() {
                self.one_arrived().await?;
            }
        }
        Ok(())
    }

    /// Gives the object its name, durably, and returns its entry for the commit record.
    pub(super) async fn finish(&mut self) -> Result<RecordedObject> {
        self.send_rest().await?;
        let failed = "finish writing";
        match &mut self.multipart {
            Some(multipart) => {
                multipart.complete().await.map_err(self.repository.failed(failed, &self.name))?;
                self.multipart = None;
            }
            None => {
                let payload = self.take_part();
                self.repository.put_new(&self.name, payload).await?;
            }
        }
        Ok(recorded(&self.name, self.bytes, &self.hasher))
    }

    /// Gives up: as far as the storage can, no part stays. What was completed, though nobody was told, may stay under
    /// its name: it goes with the claim.
    pub(super) async fn abort(&mut self) {
        // A part that was sent would otherwise be stored after the parts were removed.
        let arrived = async { while self.under_way.join_next().await.is_some() {} };
        if timeout(LAST_PARTS, arrived).await.is_err() {
            self.under_way.shutdown().await;
        }
        if let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the parts of {} remain until prune removes them",
                self.name
            );
        }
    }
}

/// What the commit record says of a stored object.
pub(super) fn recorded(name: &ObjectName, bytes: u64, hasher: &blake3::Hasher) -> RecordedObject {
    RecordedObject {
        name: name.to_string(),
        bytes,
        blake3: hasher.finalize().to_hex().to_string(),
        tar_bytes: None,
        tablespace_location: None,
    }
}
