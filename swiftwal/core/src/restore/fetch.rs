//! Brings a backup's tars back: frames in parallel where there is an index, else from front to back.

use std::sync::Arc;

use bytes::Bytes;
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::ObjectStoreExt;
use swiftwal_compression::{Format, decoder, decompress_frames};
use tokio::{
    io::{AsyncReadExt, BufReader},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::io::StreamReader;

use super::{ChosenBackup, Observe, RestoreEvent};
use crate::{
    BackupPart, Error, ObjectName, RecordedObject, Repository, Result,
    blocking::blocking,
    index::{self, Frame, Index},
    layout::SIDE_FORMAT,
    repository::path,
};

/// How many decompressed pieces wait for the writer at most.
pub(super) const PIECES_WAITING: usize = 3;
/// How many frames are decompressed at a time.
const FRAMES_IN_FLIGHT: usize = 4;
/// How many ranges of an object are fetched at a time, besides the one whose frames are decompressed.
const RANGES_IN_FLIGHT: usize = 2;
/// The pieces of a tar that is read from front to back.
const PIECE_BYTES: usize = 1 << 20;

/// A tar as it is stored.
#[derive(Debug)]
pub(super) struct StoredTar {
    name: ObjectName,
    format: Format,
    pub(super) tablespace: Option<u32>,
    /// What is known of it from the commit record.
    recorded: Option<RecordedObject>,
    pub(super) tar_bytes: Option<u64>,
    frames: Option<Vec<Frame>>,
}

/// The tars of a backup: that of the data directory first.
pub(super) async fn tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    observe: Observe<'_>,
) -> Result<Vec<StoredTar>> {
    let Some(record) = &chosen.record else {
        let name = chosen.legacy_object();
        let legacy = StoredTar {
            name,
            format: Format::Gzip,
            tablespace: None,
            recorded: None,
            tar_bytes: None,
            frames: None,
        };
        return Ok(vec![legacy]);
    };
    let mut index = match read_index(repository, &record.objects).await {
        Ok(index) => Some(index),
        Err(error) => {
            observe(RestoreEvent::Notice(&format!(
                "restoring without the backup's index, more slowly: {error}"
            )));
            None
        }
    };
    let mut tars: Vec<_> =
        record.objects.iter().filter_map(|object| stored_tar(object, index.as_mut())).collect();
    tars.sort_by_key(|tar| tar.tablespace);
    Ok(tars)
}

fn stored_tar(object: &RecordedObject, index: Option<&mut Index>) -> Option<StoredTar> {
    let BackupPart::Tar { tablespace, format } = object.part()? else { return None };
    let frames = index.and_then(|index| index.remove(&object.name)).filter(|frames| covers(frames, object));
    Some(StoredTar {
        name: ObjectName::parse(&object.name),
        format,
        tablespace,
        recorded: Some(object.clone()),
        tar_bytes: object.tar_bytes,
        frames,
    })
}

/// Whether the frames are each byte of `object`.
fn covers(frames: &[Frame], object: &RecordedObject) -> bool {
    let end = frames.iter().try_fold(0, |end, frame| (frame.offset == end).then(|| end + frame.stored_bytes));
    end == Some(object.bytes)
}

/// The frames of each tar, if the index is what was stored.
async fn read_index(repository: &Repository, objects: &[RecordedObject]) -> Result<Index> {
    let recorded = objects.iter().find(|object| object.part() == Some(BackupPart::Index));
    let Some(recorded) = recorded else { return Err(Error::damaged("the backup", "it has no index")) };
    let name = ObjectName::parse(&recorded.name);
    let Some(object) = repository.open(&name).await? else { return Err(Error::damaged(name, "it is gone")) };
    let mut hashed = Hashed::default();
    let stored = hashed.pass(object.into_stream());
    let lines = BufReader::new(decoder(SIDE_FORMAT, StreamReader::new(stored)));
    let index = index::read(lines).await.map_err(|error| repository.unreadable(&name, error))?;
    hashed.check(recorded)?;
    Ok(index)
}

/// Sends the tar, in order, to `pieces`. When it returns, either every byte of the object was proven to be what was
/// stored, or the receiver had given up.
pub(super) async fn fetch(
    repository: &Repository,
    mut tar: StoredTar,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    match tar.frames.take() {
        Some(frames) => fetch_frames(repository, &tar, frames, pieces, progress).await,
        None => fetch_stream(repository, &tar, pieces, progress).await,
    }
}

async fn fetch_frames(
    repository: &Repository,
    tar: &StoredTar,
    frames: Vec<Frame>,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    let mut hashed = Hashed::default();
    let ranges = ranges(frames, repository.storage().part_bytes() as u64);
    let fetches = ranges.into_iter().map(|range| fetch_range(repository, tar, range));
    let fetched = stream::iter(fetches).buffered(RANGES_IN_FLIGHT);
    let frames = fetched.map_ok(|frames| stream::iter(frames).map(Ok)).try_flatten();
    let mut decompressed =
        frames.map_ok(|frame| decompress(tar, frame)).try_buffered(FRAMES_IN_FLIGHT).boxed();
    while let Some((stored, piece)) = decompressed.try_next().await? {
        hashed.add(&stored);
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
        progress();
    }
    tar.recorded.as_ref().map_or(Ok(()), |recorded| hashed.check(recorded))
}

/// Adjacent frames that are fetched by one request each time: of `part_bytes` together, or just above. Parts are
/// written so, which makes a range the very part where it was the same number then.
fn ranges(frames: Vec<Frame>, part_bytes: u64) -> Vec<Vec<Frame>> {
    let mut ranges = Vec::new();
    let mut range = Vec::new();
    let mut bytes = 0;
    for frame in frames {
        bytes += frame.stored_bytes;
        range.push(frame);
        if bytes >= part_bytes {
            ranges.push(std::mem::take(&mut range));
            bytes = 0;
        }
    }
    ranges.extend((!range.is_empty()).then_some(range));
    ranges
}

/// A frame, and its bytes as they are stored.
type StoredFrame = (Frame, Bytes);

/// Fetches adjacent frames on a task of its own, which goes on while others wait to be written.
async fn fetch_range(
    repository: &Repository,
    tar: &StoredTar,
    frames: Vec<Frame>,
) -> Result<Vec<StoredFrame>> {
    let (store, location) = (Arc::clone(repository.storage().store()), path(&tar.name));
    let start = frames.first().map_or(0, |frame| frame.offset);
    let end = frames.last().map_or(start, |frame| frame.offset + frame.stored_bytes);
    let mut task = JoinSet::new();
    task.spawn(async move { store.get_range(&location, start..end).await });
    let fetched = match task.join_next().await {
        Some(Ok(fetched)) => fetched,
        Some(Err(broken)) => return Err(Error::damaged(&tar.name, broken)),
        None => return Ok(Vec::new()),
    };
    let mut stored = fetched.map_err(|error| match error {
        object_store::Error::NotFound { .. } => Error::damaged(&tar.name, "it is gone"),
        error => repository.failed("read", &tar.name)(error),
    })?;
    if stored.len() as u64 != end - start {
        return Err(Error::damaged(
            &tar.name,
            format!("{} bytes came instead of {}", stored.len(), end - start),
        ));
    }
    let mut cut = |frame: Frame| {
        let bytes = usize::try_from(frame.stored_bytes).map_err(|error| Error::damaged(&tar.name, error))?;
        Ok((frame, stored.split_to(bytes)))
    };
    frames.into_iter().map(&mut cut).collect()
}

/// What is in a frame, behind what was stored.
async fn decompress(tar: &StoredTar, (frame, stored): StoredFrame) -> Result<(Bytes, Bytes)> {
    let (name, format, compressed) = (tar.name.clone(), tar.format, stored.clone());
    let tar_bytes = usize::try_from(frame.tar_bytes).map_err(|error| Error::damaged(&name, error))?;
    let piece = blocking(move || {
        decompress_frames(format, &compressed, tar_bytes).map_err(|error| Error::damaged(name, error))
    })
    .await?;
    Ok((stored, piece.into()))
}

async fn fetch_stream(
    repository: &Repository,
    tar: &StoredTar,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    let Some(object) = repository.open(&tar.name).await? else {
        return Err(Error::damaged(&tar.name, "it is gone"));
    };
    let expected = object.meta.size;
    let mut hashed = Hashed::default();
    let stored = hashed.pass(object.into_stream());
    let mut reader = decoder(tar.format, StreamReader::new(stored));
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut reader).take(PIECE_BYTES as u64).read_to_end(&mut piece).await;
        if read.map_err(|error| repository.unreadable(&tar.name, error))? == 0 {
            break;
        }
        if pieces.send(piece.into()).await.is_err() {
            return Ok(());
        }
        progress();
    }
    drop(reader);
    match &tar.recorded {
        Some(recorded) => hashed.check(recorded),
        None if hashed.bytes == expected => Ok(()),
        None => Err(Error::damaged(&tar.name, format!("{} of its {expected} bytes came", hashed.bytes))),
    }
}

/// What came of an object so far, to be held against the commit record.
#[derive(Debug, Default)]
struct Hashed {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Hashed {
    fn add(&mut self, piece: &[u8]) {
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// Adds each piece of `stream` as it passes.
    fn pass<'a>(
        &'a mut self,
        stream: impl Stream<Item = object_store::Result<Bytes>> + Send + 'a,
    ) -> BoxStream<'a, std::io::Result<Bytes>> {
        stream.inspect_ok(|piece| self.add(piece)).map_err(std::io::Error::from).boxed()
    }

    fn check(&self, recorded: &RecordedObject) -> Result<()> {
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
