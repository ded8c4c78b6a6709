//! Brings a backup's tars back: frames in parallel where there is an index, else from front to back.

use std::collections::VecDeque;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use swiftwal_compression::{Format, decoder, decompress_frames};
use tokio::{io::AsyncReadExt, sync::mpsc};
use tokio_util::io::StreamReader;

use super::{ChosenBackup, Observe, RestoreEvent};
use crate::{
    BackupPart, Error, ObjectName, RecordedObject, Repository, Result,
    blocking::blocking,
    index::{self, Frame},
    layout::SIDE_FORMAT,
    repository::path,
};

/// How many decompressed pieces wait for the writer at most.
pub(super) const PIECES_WAITING: usize = 3;
/// How many frames are fetched and decompressed at a time.
const FRAMES_IN_FLIGHT: usize = 4;
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
    frames: Option<VecDeque<Frame>>,
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
    let index = match read_index(repository, &record.objects).await {
        Ok(index) => Some(index),
        Err(error) => {
            observe(RestoreEvent::Notice(&format!(
                "restoring without the backup's index, more slowly: {error}"
            )));
            None
        }
    };
    let mut tars: Vec<_> =
        record.objects.iter().filter_map(|object| stored_tar(object, index.as_deref())).collect();
    tars.sort_by_key(|tar| tar.tablespace);
    Ok(tars)
}

fn stored_tar(object: &RecordedObject, index: Option<&str>) -> Option<StoredTar> {
    let BackupPart::Tar { tablespace, format } = object.part()? else { return None };
    let frames = index.and_then(|index| frames(object, index));
    Some(StoredTar {
        name: ObjectName::parse(&object.name),
        format,
        tablespace,
        recorded: Some(object.clone()),
        tar_bytes: object.tar_bytes,
        frames,
    })
}

/// The frames of `object`, if the index knows each byte of it.
fn frames(object: &RecordedObject, index: &str) -> Option<VecDeque<Frame>> {
    let frames = index::frames_of(&object.name, index).ok()?;
    let mut end = 0;
    for frame in &frames {
        if frame.offset != end {
            return None;
        }
        end += frame.stored_bytes;
    }
    (end == object.bytes).then(|| frames.into())
}

/// The index's text, if it is what was stored.
async fn read_index(repository: &Repository, objects: &[RecordedObject]) -> Result<String> {
    let index = objects.iter().find(|object| object.part() == Some(BackupPart::Index));
    let Some(index) = index else { return Err(Error::damaged("the backup", "it has no index")) };
    let name = ObjectName::parse(&index.name);
    let Some(stored) = repository.read(&name).await? else { return Err(Error::damaged(name, "it is gone")) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&stored);
    check(index, stored.len() as u64, &hasher)?;
    let mut text = String::new();
    let read = decoder(SIDE_FORMAT, &*stored).read_to_string(&mut text).await;
    read.map(|_| text).map_err(|error| Error::damaged(name, error))
}

/// Sends the tar, in order, to `pieces`. When it returns, either every byte of the object was proven to be what was
/// stored, or the receiver had given up.
pub(super) async fn fetch(
    repository: &Repository,
    tar: &StoredTar,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    match &tar.frames {
        Some(frames) => fetch_frames(repository, tar, frames.clone(), pieces, progress).await,
        None => fetch_stream(repository, tar, pieces, progress).await,
    }
}

async fn fetch_frames(
    repository: &Repository,
    tar: &StoredTar,
    frames: VecDeque<Frame>,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let fetches = frames.into_iter().map(|frame| fetch_frame(repository, tar, frame));
    let mut fetched = stream::iter(fetches).buffered(FRAMES_IN_FLIGHT);
    while let Some((stored, piece)) = fetched.try_next().await? {
        hasher.update(&stored);
        bytes += stored.len() as u64;
        if pieces.send(piece).await.is_err() {
            return Ok(());
        }
        progress();
    }
    tar.recorded.as_ref().map_or(Ok(()), |recorded| check(recorded, bytes, &hasher))
}

/// A frame as stored, and what is in it.
async fn fetch_frame(repository: &Repository, tar: &StoredTar, frame: Frame) -> Result<(Bytes, Bytes)> {
    let range = frame.offset..frame.offset + frame.stored_bytes;
    let stored = repository.storage().store().get_range(&path(&tar.name), range).await;
    let stored = stored.map_err(|error| match error {
        object_store::Error::NotFound { .. } => Error::damaged(&tar.name, "it is gone"),
        error => repository.failed("read", &tar.name)(error),
    })?;
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
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    let hashed = object.into_stream().inspect_ok(|piece| {
        hasher.update(piece);
        bytes += piece.len() as u64;
    });
    let mut reader = decoder(tar.format, StreamReader::new(hashed.map_err(std::io::Error::from)));
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut reader).take(PIECE_BYTES as u64).read_to_end(&mut piece).await;
        if read.map_err(|error| Error::damaged(&tar.name, error))? == 0 {
            break;
        }
        if pieces.send(piece.into()).await.is_err() {
            return Ok(());
        }
        progress();
    }
    drop(reader);
    match &tar.recorded {
        Some(recorded) => check(recorded, bytes, &hasher),
        None if bytes == expected => Ok(()),
        None => Err(Error::damaged(&tar.name, format!("{bytes} of its {expected} bytes came"))),
    }
}

fn check(recorded: &RecordedObject, bytes: u64, hasher: &blake3::Hasher) -> Result<()> {
    if bytes != recorded.bytes {
        let reason = format!("{} bytes were stored, and {bytes} came back", recorded.bytes);
        return Err(Error::damaged(&recorded.name, reason));
    }
    if hasher.finalize().to_hex().as_str() != recorded.blake3 {
        return Err(Error::damaged(&recorded.name, "its content doesn't fit its checksum"));
    }
    Ok(())
}
