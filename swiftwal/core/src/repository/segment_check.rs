//! Checks a WAL segment before it is stored and before it is restored.

use std::fmt;

use swiftwal_postgres::{SegmentHeader, SegmentName, SegmentSize, WalName};

use crate::{
    error::{Error, Result},
    repository::history::HISTORY_BYTES,
};

/// Checks the start of the file that is named `segment`, and its size. `place` is its name in an error.
pub(crate) fn check_segment(
    segment: SegmentName,
    start: &[u8],
    bytes: u64,
    place: impl fmt::Display,
) -> Result<SegmentHeader> {
    let header = SegmentHeader::parse(start).map_err(|error| Error::damaged(&place, error))?;
    let expected = header.segment_size.bytes();
    if bytes != expected {
        let reason = format!("a segment of this cluster has {expected} bytes, and this one has {bytes}");
        return Err(Error::damaged(place, reason));
    }
    header.check_name(segment).map_err(|error| Error::damaged(place, error))?;
    Ok(header)
}

/// Returns the largest size of a file named `name`, according to the segment size in its `start`. It is known before
/// the file is written, so that a few stored bytes can't fill a disk.
pub(crate) fn most_bytes(name: WalName, start: &[u8]) -> u64 {
    match name {
        WalName::Segment(_) | WalName::Partial(_) => {
            SegmentHeader::parse(start).map_or(SegmentSize::MAX_BYTES, |header| header.segment_size.bytes())
        }
        // The history of a backup is as small as that of a timeline.
        WalName::History(_) | WalName::Backup { .. } => HISTORY_BYTES,
    }
}
