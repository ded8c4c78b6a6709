//! Uploads an object in parts. It has no name until all of them have arrived.

use std::time::Duration;

use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    error::{Error, Result},
    repository::{PutOutcome, Repository, layout::ObjectName, path},
};

/// How many parts are uploaded at a time.
pub(crate) const PARTS_IN_FLIGHT: usize = 2;
/// How long an abandoned upload waits for its last parts. The person who stopped it is waiting, too.
const LAST_PARTS: Duration = Duration::from_secs(5);

/// An upload in parts.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    repository: &'a Repository,
    name: ObjectName,
    /// Whether the object must not replace another.
    creates: bool,
    multipart: Box<dyn MultipartUpload>,
    under_way: JoinSet<object_store::Result<()>>,
    bytes: u64,
}

impl<'a> Parts<'a> {
    /// Begins the upload of an object that replaces one of the same name.
    pub(crate) async fn replace(repository: &'a Repository, name: &ObjectName) -> Result<Self> {
        let begun = repository.storage().store().put_multipart(&path(name)).await;
        Self::begun(repository, name, false, begun)
    }

    /// Begins the upload of an object that must not replace another. The storage must support creation in parts.
    pub(crate) async fn create(repository: &'a Repository, name: &ObjectName) -> Result<Self> {
        let begun = match repository.storage().create_in_parts() {
            Some(storage) => storage.create(&path(name)).await,
            None => {
                Err(object_store::Error::NotSupported { source: "it can't create objects in parts".into() })
            }
        };
        Self::begun(repository, name, true, begun)
    }

    fn begun(
        repository: &'a Repository,
        name: &ObjectName,
        creates: bool,
        begun: object_store::Result<Box<dyn MultipartUpload>>,
    ) -> Result<Self> {
        let multipart = begun.map_err(repository.failed("begin to write", name))?;
        Ok(Self { repository, name: name.clone(), creates, multipart, under_way: JoinSet::new(), bytes: 0 })
    }

    /// Returns the bytes of all parts so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Sends the next part. Waits if enough parts are being sent.
    pub(crate) async fn send(&mut self, part: PutPayload) -> Result<()> {
        self.wait_until_under_way(PARTS_IN_FLIGHT - 1).await?;
        self.bytes += part.content_length() as u64;
        self.under_way.spawn(self.multipart.put_part(part));
        Ok(())
    }

    /// Waits until at most `most` parts are being sent.
    pub(crate) async fn wait_until_under_way(&mut self, most: usize) -> Result<()> {
        while self.under_way.len() > most {
            match self.under_way.join_next().await {
                None | Some(Ok(Ok(()))) => {}
                Some(Ok(Err(source))) => {
                    return Err(self.repository.failed("write a part of", &self.name)(source));
                }
                Some(Err(broken)) => return Err(Error::damaged(&self.name, broken)),
            }
        }
        Ok(())
    }

    /// Gives the object its name, durably, unless it must not replace another and the name is taken. All parts must
    /// have arrived.
    pub(crate) async fn complete(&mut self) -> Result<PutOutcome> {
        match self.multipart.complete().await {
            Ok(_) => Ok(PutOutcome::Stored),
            Err(object_store::Error::AlreadyExists { .. }) if self.creates => Ok(PutOutcome::NameTaken),
            Err(source) => Err(self.repository.failed("finish writing", &self.name)(source)),
        }
    }

    /// Abandons the upload: the parts are removed as far as the storage allows. An upload that was completed without an
    /// acknowledgement may remain under its name.
    pub(crate) async fn abort(mut self) {
        // A part that is still being sent would be stored after the parts were removed.
        let arrived = async { while self.under_way.join_next().await.is_some() {} };
        if timeout(LAST_PARTS, arrived).await.is_err() {
            self.under_way.shutdown().await;
        }
        if let Err(error) = self.multipart.abort().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the parts of {} remain until prune removes them",
                self.name
            );
        }
    }
}
