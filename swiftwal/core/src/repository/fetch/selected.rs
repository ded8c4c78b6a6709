//! Fetches only those frames of a tar whose content is needed, by the index alone.

use std::ops::Range;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Buffers, Hashed, Pieces, StoredTar, frames::fetch_frames};
use crate::{
    error::{Error, Result},
    repository::Repository,
};

/// The frames of a tar that are fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SelectedFrames {
    /// The bytes of the tar that each contains, in order.
    pub(crate) frames: Vec<Range<u64>>,
    /// Their size as they are stored.
    pub(crate) stored_bytes: u64,
}

impl SelectedFrames {
    /// Returns their size after decompression.
    pub(crate) fn tar_bytes(&self) -> u64 {
        self.frames.iter().map(|frame| frame.end - frame.start).sum()
    }
}

impl StoredTar {
    /// Drops the frames that contain nothing of the `ranges`, which are in order and not empty.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] if the tar is too short for a range; the errors of `ranges`.
    pub(crate) fn select(
        &mut self,
        ranges: impl Iterator<Item = Result<Range<u64>>>,
    ) -> Result<SelectedFrames> {
        let (mut selected, mut start) = (SelectedFrames::default(), 0);
        let mut ranges = ranges.peekable();
        let name = self.name();
        for indexed in self.pieces.iter_mut().filter_map(|piece| piece.indexed.as_mut()) {
            let mut needed = Vec::new();
            for frame in std::mem::take(&mut indexed.frames) {
                let end = start + frame.tar_bytes;
                while ranges.next_if(|range| range.as_ref().is_ok_and(|range| range.end <= start)).is_some() {
                }
                match ranges.peek() {
                    Some(Ok(range)) if range.start < end => {
                        needed.push(frame);
                        selected.frames.push(start..end);
                        selected.stored_bytes += frame.stored_bytes;
                    }
                    Some(Err(_)) => {
                        return Err(ranges.next().and_then(Result::err).unwrap_or(Error::Stopped));
                    }
                    _ => {}
                }
                start = end;
            }
            indexed.frames = needed;
        }
        match ranges.find(|range| range.as_ref().is_ok_and(|range| range.end > start) || range.is_err()) {
            Some(Ok(_)) => Err(Error::damaged(name, "its index names files beyond its end")),
            Some(Err(error)) => Err(error),
            None => Ok(selected),
        }
    }
}

/// Sends the selected frames of the tar, in order, to `pieces`.
///
/// # Errors
///
/// [`Error::Damaged`] if an object doesn't consist of the index's frames.
pub(crate) async fn fetch_selected(
    repository: &Repository,
    tar: StoredTar,
    pieces: mpsc::Sender<Bytes>,
    buffers: &Buffers,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    for mut piece in tar.pieces {
        let Some(indexed) = piece.indexed.take() else { continue };
        let mut pieces = Pieces { sender: pieces.clone(), buffers: buffers.clone(), sent_bytes: 0, progress };
        let mut hashed = Hashed::default();
        if !fetch_frames(repository, &piece, indexed.frames, &mut pieces, &mut hashed).await? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use swiftwal_compression::Format;

    use super::*;
    use crate::repository::{
        fetch::TarPiece,
        index::{Frame, IndexedTar},
        layout::ObjectName,
    };

    /// A tar of two objects, whose frames have 10 bytes each.
    fn tar() -> StoredTar {
        let piece = |frames: u64| TarPiece {
            name: ObjectName::parse("x"),
            format: Format::None,
            recorded: None,
            tar_bytes: Some(frames * 10),
            indexed: Some(IndexedTar {
                frames: (0..frames)
                    .map(|number| Frame { offset: number * 3, stored_bytes: 3, tar_bytes: 10 })
                    .collect(),
                text: 0..0,
            }),
        };
        let pieces = vec![piece(3), piece(2)];
        StoredTar { tablespace: None, prefix: Vec::new(), pieces, members: None }
    }

    #[test]
    fn only_frames_with_something_of_a_range_are_left() {
        for (ranges, expected) in [
            (&[][..], &[][..]),
            (&[(0, 1)], &[0]),
            (&[(9, 10), (10, 11)], &[0, 1]),
            (&[(5, 25), (27, 28)], &[0, 1, 2]),
            (&[(29, 31), (45, 50)], &[2, 3, 4]),
            (&[(3, 4), (5, 6), (40, 41)], &[0, 4]),
        ] {
            let mut tar = tar();
            let selected = tar.select(ranges.iter().map(|(start, end)| Ok(*start..*end))).unwrap();
            let frames: Vec<_> = expected.iter().map(|frame| frame * 10..frame * 10 + 10).collect();
            assert_eq!(selected, SelectedFrames { stored_bytes: frames.len() as u64 * 3, frames });
            let left = tar.pieces.iter().flat_map(|piece| &piece.indexed.as_ref().unwrap().frames).count();
            assert_eq!(left, expected.len());
        }
    }

    #[test]
    fn what_lies_beyond_the_tar_is_damage() {
        for beyond in [45..51, 50..51, 100..101] {
            let error = tar().select([Ok(0..1), Ok(beyond)].into_iter()).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{error}");
        }
        assert!(tar().select([Ok(0..1), Err(Error::Stopped)].into_iter()).is_err());
    }
}
