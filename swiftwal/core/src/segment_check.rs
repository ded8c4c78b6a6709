//! What a WAL segment must be, before it is stored and before it is given back.

use std::fmt;

use swiftwal_postgres::{SegmentHeader, SegmentName};

use crate::{Error, Result};

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
