//! Checks a WAL segment before it is stored and before it is restored.

use std::fmt;

use swiftwal_postgres::{SegmentHeader, SegmentName, SegmentSize, WalName};

use crate::{
    error::{Error, Result},
    repository::history::HISTORY_BYTES,
};

/// Checks the start of what is called `segment`, and its size. `place` is how an error calls it.
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

/// The most bytes that a file called `name` can have, by what its `start` says of the cluster's segments. Known before
/// the file is written, so that a few stored bytes can't unpack to a full disk.
pub(crate) fn most_bytes(name: WalName, start: &[u8]) -> u64 {
    match name {
        WalName::Segment(_) | WalName::Partial(_) => {
            SegmentHeader::parse(start).map_or(SegmentSize::MAX_BYTES, |header| header.segment_size.bytes())
        }
        // A backup's history holds as little as a timeline's.
        WalName::History(_) | WalName::Backup { .. } => HISTORY_BYTES,
    }
}
