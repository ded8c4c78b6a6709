//! A WAL file on its way into the repository, compressed while it is sent.
//!
//! A file of PostgreSQL's usual size is held in memory for one put. Of a larger one no more than two parts are held: what
//! doesn't fit in there is sent in parts, if the storage can create an object so. The object gets its name last, once it
//! is certain that the file stayed as it was while it was read.

use std::{collections::VecDeque, pin::pin};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use object_store::{PutMode, PutPayload};
use swiftwal_compression::Codec;

use crate::{
    error::Result,
    repository::{Put, Repository, layout::ObjectName, parts::Parts, wal_file::WalFile, wal_frames::frames},
};

/// The largest part of a WAL file.
const PART_BYTES: usize = 4 << 20;

/// What is to become of an object that has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// It is kept, and the new one isn't stored.
    Keep,
    /// The new one replaces it.
    Replace,
}

/// A WAL file that is read and compressed, in the storage or in memory, and has no name yet.
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
    /// Reads and compresses `file`, and sends what is too large to be held, while the storage gets ready for it.
    ///
    /// # Errors
    /// [`Error::Local`](crate::error::Error::Local), also where the file changed meanwhile, and those of the storage. As
    /// far as the storage can, no part stays then.
    pub(crate) async fn stage_wal(
        &self,
        object: &ObjectName,
        file: &WalFile,
        codec: Codec,
        existing: Existing,
    ) -> Result<StagedWal<'_>> {
        let limits = self.storage().limits();
        let mut frames = pin!(frames(file, codec, limits.put_bytes));
        let part_bytes = limits.part_bytes.min(PART_BYTES);
        let most = match self.storage().create_in_parts() {
            Some(_) if file.bytes() > limits.put_bytes => 2 * part_bytes,
            _ => usize::MAX,
        };
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

impl StagedWal<'_> {
    /// The size of the object.
    pub(crate) fn stored_bytes(&self) -> u64 {
        match &self.form {
            Form::Whole(payload, _) => payload.content_length() as u64,
            Form::Parts(parts) => parts.bytes(),
        }
    }

    /// Gives it its name, durably, unless the name is taken by what is to be kept. Without success nothing stays of it, as
    /// far as the storage can.
    pub(crate) async fn publish(self) -> Result<Put> {
        match self.form {
            Form::Whole(payload, mode) => self.repository.put(&self.object, payload, mode).await,
            Form::Parts(mut parts) => {
                let completed = parts.complete().await;
                if !matches!(completed, Ok(Put::Stored)) {
                    parts.abort().await;
                }
                completed
            }
        }
    }

    /// Gives up: as far as the storage can, nothing stays of it.
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

type Frames<'a> = &'a mut (dyn Stream<Item = Result<Vec<Bytes>>> + Send + Unpin);

/// Sends what is held and what is still to come, in parts. One is under way while the next one fills.
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
    /// Takes frames until there are no more, or more bytes than `most`.
    async fn fill(&mut self, frames: Frames<'_>, most: usize) -> Result<()> {
        while self.bytes <= most
            && let Some(frame) = frames.try_next().await?
        {
            self.add(frame);
        }
        Ok(())
    }

    fn add(&mut self, frame: Vec<Bytes>) {
        self.bytes += frame.iter().map(Bytes::len).sum::<usize>();
        self.chunks.extend(frame);
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
