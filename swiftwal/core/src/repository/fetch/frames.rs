//! Fetches frames in parallel: adjacent ones with one request, and several requests at a time.

use std::{iter, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{GetOptions, GetRange, GetResultPayload};
use swiftwal_compression::decompress_frames_into;
use tokio::task::JoinSet;

use super::{Hashed, Pieces, TarPiece, buffers::Buffer};
use crate::{
    error::{Error, Result},
    local::blocking::blocking,
    repository::{Repository, index::Frame, path},
};

/// How many frames are decompressed at a time.
const FRAMES_IN_FLIGHT: usize = 4;
/// How many ranges are in memory at a time: one whose frames are decompressed, and those that are fetched meanwhile.
const RANGES_IN_FLIGHT: usize = 3;

/// The usual limit of a frame's size. For a larger frame, memory is allocated as it arrives.
const MOST_FRAME_BYTES: usize = 16 << 20;

/// A frame, and its bytes as they are stored.
type StoredFrame = (Frame, Bytes);

/// Fetches the tar by the `frames` of the index. Returns whether the receiver took it to its end. If it fails, the
/// beginning of the tar was sent, from the bytes in `hashed`.
///
/// # Errors
///
/// [`Error::Damaged`] if the object doesn't consist of these frames.
pub(super) async fn fetch_frames(
    repository: &Repository,
    tar: &TarPiece,
    frames: Vec<Frame>,
    pieces: &mut Pieces<'_>,
    hashed: &mut Hashed,
) -> Result<bool> {
    let ranges = ranges(frames, repository.storage().limits().part_bytes as u64);
    let fetches = ranges.map(|range| fetch_range(repository, tar, range));
    let fetched = stream::iter(fetches).buffered(RANGES_IN_FLIGHT - 1);
    let frames = fetched.map_ok(|frames| stream::iter(frames).map(Ok)).try_flatten();
    let buffers = pieces.buffers.clone();
    // One after the other: a frame must not wait for the buffer of a later one.
    let buffered = frames.and_then(|(frame, stored)| {
        let buffers = buffers.clone();
        async move {
            let tar_bytes = tar_bytes(tar, &frame)?;
            Ok((stored, tar_bytes, buffers.take(tar_bytes).await))
        }
    });
    let mut decompressed =
        buffered.map_ok(|frame| decompress(tar, frame)).try_buffered(FRAMES_IN_FLIGHT).boxed();
    while let Some((stored, piece)) = decompressed.try_next().await? {
        hashed.add(&stored);
        if !pieces.send(piece).await {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Groups adjacent frames that are fetched with one request: `part_bytes` together, or a little more. Parts are written
/// in the same way, so a range is exactly a part if the size of a part was the same then.
fn ranges(frames: Vec<Frame>, part_bytes: u64) -> impl Iterator<Item = Vec<Frame>> {
    let mut frames = frames.into_iter().peekable();
    iter::from_fn(move || {
        let mut bytes = 0;
        let mut range: Vec<Frame> = Vec::new();
        let follows = |range: &[Frame], next: &Frame| {
            range.last().is_none_or(|last| last.offset + last.stored_bytes == next.offset)
        };
        while bytes < part_bytes
            && let Some(frame) = frames.next_if(|next| follows(&range, next))
        {
            bytes += frame.stored_bytes;
            range.push(frame);
        }
        (!range.is_empty()).then_some(range)
    })
}

/// Fetches adjacent frames in a separate task, which continues while others wait to be written.
async fn fetch_range(
    repository: &Repository,
    tar: &TarPiece,
    frames: Vec<Frame>,
) -> Result<Vec<StoredFrame>> {
    let (store, location) = (Arc::clone(repository.storage().store()), path(&tar.name));
    let start = frames.first().map_or(0, |frame| frame.offset);
    let end = frames.last().map_or(start, |frame| frame.offset + frame.stored_bytes);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let range = Some(GetRange::Bounded(start..end));
        let found = store.get_opts(&location, GetOptions { range, ..GetOptions::default() }).await?;
        let chunks = match found.payload {
            GetResultPayload::Stream(chunks) => chunks,
            // A file is read at once.
            _ => stream::once(found.bytes()).boxed(),
        };
        cut(frames, chunks).await
    });
    let fetched = match task.join_next().await {
        Some(Ok(fetched)) => fetched,
        Some(Err(broken)) => return Err(Error::damaged(&tar.name, broken)),
        None => return Ok(Vec::new()),
    };
    let (stored, bytes) = fetched.map_err(|error| match error {
        object_store::Error::NotFound { .. } => repository.missing(&tar.name),
        error => repository.failed("read", &tar.name)(error),
    })?;
    if bytes != end - start {
        return Err(Error::damaged(&tar.name, format!("received {bytes} bytes instead of {}", end - start)));
    }
    Ok(stored)
}

/// Cuts the response into its frames, and counts it. Each frame has memory of its own, which is freed when that frame
/// is written rather than the whole range.
async fn cut(
    frames: Vec<Frame>,
    mut chunks: BoxStream<'_, object_store::Result<Bytes>>,
) -> object_store::Result<(Vec<StoredFrame>, u64)> {
    let (mut stored, mut bytes) = (Vec::with_capacity(frames.len()), 0);
    let mut frames = frames.into_iter();
    let mut current = frames.next().map(|frame| (frame, BytesMut::new()));
    while let Some(mut chunk) = chunks.try_next().await? {
        bytes += chunk.len() as u64;
        while let Some((frame, buffer)) = &mut current {
            let frame_bytes = usize::try_from(frame.stored_bytes).unwrap_or(usize::MAX);
            if buffer.is_empty() && !chunk.is_empty() {
                buffer.reserve(frame_bytes.min(MOST_FRAME_BYTES));
            }
            buffer.extend_from_slice(&chunk.split_to(chunk.len().min(frame_bytes - buffer.len())));
            if buffer.len() < frame_bytes {
                break;
            }
            stored.push((*frame, std::mem::take(buffer).freeze()));
            current = frames.next().map(|frame| (frame, BytesMut::new()));
        }
    }
    Ok((stored, bytes))
}

fn tar_bytes(tar: &TarPiece, frame: &Frame) -> Result<usize> {
    usize::try_from(frame.tar_bytes).map_err(|error| Error::damaged(&tar.name, error))
}

/// Returns what was stored of a frame, and its decompressed content.
async fn decompress(
    tar: &TarPiece,
    (stored, tar_bytes, mut buffer): (Bytes, usize, Buffer),
) -> Result<(Bytes, Bytes)> {
    let (name, format, compressed) = (tar.name.clone(), tar.format, stored.clone());
    let piece = blocking(move || {
        decompress_frames_into(format, &compressed, tar_bytes, &mut buffer.bytes)
            .map_err(|error| Error::damaged(name, error))?;
        Ok(buffer.freeze())
    })
    .await?;
    Ok((stored, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_every_frame_once_and_end_as_soon_as_they_are_a_part() {
        let frame = |offset, stored_bytes| Frame { offset, stored_bytes, tar_bytes: 0 };
        let frames = vec![frame(0, 4), frame(4, 3), frame(7, 3), frame(10, 20), frame(30, 1)];
        let offsets = |range: Vec<Frame>| range.iter().map(|frame| frame.offset).collect::<Vec<_>>();
        let ranges: Vec<_> = ranges(frames, 10).map(offsets).collect();
        assert_eq!(ranges, [vec![0, 4, 7], vec![10], vec![30]]);
    }

    #[test]
    fn frames_that_are_not_adjacent_are_in_separate_ranges() {
        let frame = |offset| Frame { offset, stored_bytes: 2, tar_bytes: 0 };
        let offsets = |range: Vec<Frame>| range.iter().map(|frame| frame.offset).collect::<Vec<_>>();
        let frames = [0, 2, 6, 10, 12].map(frame).to_vec();
        let ranges: Vec<_> = super::ranges(frames, 10).map(offsets).collect();
        assert_eq!(ranges, [vec![0, 2], vec![6], vec![10, 12]]);
    }

    #[tokio::test]
    async fn frames_are_cut_from_chunks_of_any_length_and_all_bytes_are_counted() {
        let frame = |offset, stored_bytes| Frame { offset, stored_bytes, tar_bytes: 0 };
        let frames = vec![frame(0, 3), frame(3, 1), frame(4, 4)];
        for length in [1, 2, 3, 5, 8] {
            for (stored, expected) in [
                ("abcdefgh", &["abc", "d", "efgh"][..]),
                ("abcde", &["abc", "d"]),
                ("abcdefghij", &["abc", "d", "efgh"]),
            ] {
                let chunks: Vec<_> =
                    stored.as_bytes().chunks(length).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
                let (cut, bytes) = cut(frames.clone(), stream::iter(chunks).boxed()).await.unwrap();
                let contents: Vec<_> = cut.iter().map(|(_, bytes)| bytes.as_ref()).collect();
                assert_eq!(contents, expected.iter().map(|text| text.as_bytes()).collect::<Vec<_>>());
                assert_eq!(bytes, stored.len() as u64);
            }
        }
    }
}
