//! Frames in parallel: adjacent ones by one request, several requests at a time.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use swiftwal_compression::decompress_frames;
use tokio::{sync::mpsc, task::JoinSet};

use super::{Hashed, StoredTar};
use crate::{Error, Repository, Result, blocking::blocking, index::Frame, repository::path};

/// How many frames are decompressed at a time.
const FRAMES_IN_FLIGHT: usize = 4;
/// How many ranges are in memory at a time: one whose frames are decompressed, and those that are fetched meanwhile.
const RANGES_IN_FLIGHT: usize = 3;

/// A frame, and its bytes as they are stored.
type StoredFrame = (Frame, Bytes);

/// Does what [`fetch`](super::fetch) says, by the index.
pub(super) async fn fetch_frames(
    repository: &Repository,
    tar: &StoredTar,
    frames: Vec<Frame>,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    let mut hashed = Hashed::default();
    let ranges = ranges(frames, repository.storage().part_bytes() as u64);
    let fetches = ranges.into_iter().map(|range| fetch_range(repository, tar, range));
    let fetched = stream::iter(fetches).buffered(RANGES_IN_FLIGHT - 1);
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
        object_store::Error::NotFound { .. } => repository.missing(&tar.name),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_every_frame_once_and_end_as_soon_as_they_are_a_part() {
        let frame = |offset, stored_bytes| Frame { offset, stored_bytes, tar_bytes: 0 };
        let frames = vec![frame(0, 4), frame(4, 3), frame(7, 3), frame(10, 20), frame(30, 1)];
        let offsets = |range: &Vec<Frame>| range.iter().map(|frame| frame.offset).collect::<Vec<_>>();
        let ranges: Vec<_> = ranges(frames, 10).iter().map(offsets).collect();
        assert_eq!(ranges, [vec![0, 4, 7], vec![10], vec![30]]);
    }
}
