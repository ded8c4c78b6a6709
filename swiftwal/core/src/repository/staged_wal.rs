//! Compresses a WAL file while it is sent to the repository.
//!
//! A file of PostgreSQL's usual size is kept in memory for one put. Of a larger one at most two parts are in memory:
//! the rest is sent in parts, if the storage supports the creation of objects in parts. The object gets its name last,
//! when it is certain that the file didn't change while it was read.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use object_store::{PutMode, PutPayload};
use swiftwal_compression::Codec;

use crate::{
    error::Result,
    repository::{
        PutOutcome, Repository,
        layout::ObjectName,
        parts::Parts,
        wal_file::WalFile,
        wal_frames::{Threads, frames},
    },
};

/// The largest part of a WAL file.
const PART_BYTES: usize = 4 << 20;

/// What to do if an object has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Keep it, and don't store the new one.
    Keep,
    /// Replace it.
    Replace,
}

/// A compressed WAL file, in the storage or in memory, that has no name yet.
#[derive(Debug)]
pub(crate) struct StagedWal<'a> {
    repository: &'a Repository,
    object: ObjectName,
    form: Form<'a>,
}

#[derive(Debug)]
enum Form<'a> {
    Whole(PutPayload, PutMode),
    Parts(Parts<'a>),
}

impl Repository {
    /// Reads and compresses `file`, and sends what is too large for memory, while the storage prepares.
    ///
    /// # Errors
    ///
    /// [`Error::Local`](crate::error::Error::Local), also if the file changed meanwhile, and those of the storage.
    /// Parts are then removed as far as the storage allows.
    pub(crate) async fn stage_wal(
        &self,
        object: &ObjectName,
        file: &WalFile,
        codec: Codec,
        existing: Existing,
        threads: Threads,
    ) -> Result<StagedWal<'_>> {
        let limits = self.storage().limits();
        let mut frames = pin!(frames(file, codec, threads));
        let part_bytes = limits.part_bytes.min(PART_BYTES);
        let in_parts = !self.is_put_at_once(file) && self.takes_parts_of(part_bytes, object).await?;
        let most = if in_parts { 2 * part_bytes } else { usize::MAX };
        let mut held = Held::default();
        let prepare = async { self.storage().prepare().await.map_err(self.failed("write", object)) };
        tokio::try_join!(held.fill(&mut frames, most), prepare)?;
        let form = if held.bytes <= most {
            file.ensure_unchanged()?;
            Form::Whole(held.take(usize::MAX), put_mode(existing))
        } else {
            let mut parts = match existing {
                Existing::Keep => Parts::create(self, object).await?,
                Existing::Replace => Parts::replace(self, object).await?,
            };
            let sent = send(&mut parts, part_bytes, held, &mut frames).await;
            if let Err(error) = sent.and_then(|()| file.ensure_unchanged()) {
                parts.abort().await;
                return Err(error);
            }
            Form::Parts(parts)
        };
        Ok(StagedWal { repository: self, object: object.clone(), form })
    }
}

impl Repository {
    /// Whether the file is stored in one put, so that nothing is sent while it is staged.
    pub(crate) fn is_put_at_once(&self, file: &WalFile) -> bool {
        file.bytes() <= self.storage().limits().put_bytes
    }

    /// Whether the storage creates objects from parts of this size.
    async fn takes_parts_of(&self, bytes: usize, object: &ObjectName) -> Result<bool> {
        match self.storage().create_in_parts() {
            Some(storage) => storage.takes_parts_of(bytes).await.map_err(self.failed("write", object)),
            None => Ok(false),
        }
    }
}

impl StagedWal<'_> {
    /// Returns the size of the object.
    pub(crate) fn stored_bytes(&self) -> u64 {
        match &self.form {
            Form::Whole(payload, _) => payload.content_length() as u64,
            Form::Parts(parts) => parts.bytes(),
        }
    }

    /// Gives the object its name, durably, unless an object that must be kept has it. If the name is taken, everything
    /// is removed as far as the storage allows. If it is unknown whether the object got its name, its parts are kept;
    /// prune removes them if they belong to no object.
    pub(crate) async fn publish(self) -> Result<PutOutcome> {
        match self.form {
            Form::Whole(payload, mode) => self.repository.put(&self.object, payload, mode).await,
            Form::Parts(mut parts) => {
                let completed = parts.complete().await;
                if matches!(completed, Ok(PutOutcome::NameTaken)) {
                    parts.abort().await;
                }
                completed
            }
        }
    }

    /// Abandons the object: everything is removed as far as the storage allows.
    pub(crate) async fn abort(self) {
        if let Form::Parts(parts) = self.form {
            parts.abort().await;
        }
    }
}

fn put_mode(existing: Existing) -> PutMode {
    match existing {
        Existing::Keep => PutMode::Create,
        Existing::Replace => PutMode::Overwrite,
    }
}

type Frames<'a> = &'a mut (dyn Stream<Item = Result<Bytes>> + Send + Unpin);

/// Sends what is in memory and the rest of the file, in parts. One part is being sent while the next one fills.
async fn send(parts: &mut Parts<'_>, part_bytes: usize, mut held: Held, frames: Frames<'_>) -> Result<()> {
    loop {
        while held.bytes >= part_bytes {
            parts.send(held.take(part_bytes)).await?;
        }
        parts.wait_until_under_way(1).await?;
        match frames.try_next().await? {
            Some(frame) => held.add(frame),
            None => break,
        }
    }
    if held.bytes > 0 {
        parts.send(held.take(usize::MAX)).await?;
    }
    parts.wait_until_under_way(0).await
}

/// Compressed bytes in memory.
#[derive(Debug, Default)]
struct Held {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Held {
    /// Takes frames until there are no more, or more than `most` bytes.
    async fn fill(&mut self, frames: Frames<'_>, most: usize) -> Result<()> {
        while self.bytes <= most
            && let Some(frame) = frames.try_next().await?
        {
            self.add(frame);
        }
        Ok(())
    }

    fn add(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.chunks.push_back(frame);
    }

    /// Removes the first `most` bytes, or all.
    fn take(&mut self, most: usize) -> PutPayload {
        let mut left = most.min(self.bytes);
        self.bytes -= left;
        let mut taken = Vec::new();
        while left > 0
            && let Some(mut chunk) = self.chunks.pop_front()
        {
            let piece = chunk.split_to(left.min(chunk.len()));
            left -= piece.len();
            taken.push(piece);
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
        }
        PutPayload::from_iter(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;
    use object_store::{MultipartUpload, Result as StoreResult, memory::InMemory, path::Path};
    use swiftwal_compression::Format;

    use super::*;
    use crate::{
        local::clock::SystemClock,
        storage::{CreateInParts, Limits, Storage},
    };

    /// A storage that accepts parts of 4 MiB and more.
    #[derive(Debug)]
    struct LongParts;

    #[async_trait]
    impl CreateInParts for LongParts {
        async fn create(&self, _: &Path) -> StoreResult<Box<dyn MultipartUpload>> {
            Err(object_store::Error::NotSupported { source: "parts that are too short".into() })
        }

        async fn takes_parts_of(&self, bytes: usize) -> StoreResult<bool> {
            Ok(bytes >= 4 << 20)
        }

        async fn make_durable(&self, _: &Path) -> StoreResult<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_large_file_goes_in_one_put_where_its_parts_would_be_too_short() {
        let limits = Limits { put_bytes: 1 << 10, part_bytes: 1 << 20, ..Limits::default() };
        let storage = Storage::new(Arc::new(InMemory::new()))
            .with_limits(limits)
            .with_create_in_parts(Arc::new(LongParts));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("000000010000000000000002.00000028.backup");
        std::fs::write(&path, vec![1; 5 << 20]).unwrap();
        let file = WalFile::open(&path).unwrap();
        let object = ObjectName::Wal { name: file.name, format: Format::None };
        let codec = "none".parse().unwrap();
        let staged = repository.stage_wal(&object, &file, codec, Existing::Keep, Threads::All).await.unwrap();
        assert_eq!(staged.publish().await.unwrap(), PutOutcome::Stored);
        assert_eq!(repository.size(&object).await.unwrap(), Some(5 << 20));
    }
}
