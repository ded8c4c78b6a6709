//! Checks a WAL segment before it is stored and before it is restored.

use std::fmt;

use swiftwal_postgres::{SegmentHeader, SegmentName, SegmentSize, WalName};

use crate::{
    error::{Error, Result},
    repository::{history::HISTORY_BYTES, layout::ObjectName},
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

/// The part of a WAL file that was fetched so far: its size and its first page's header.
pub(crate) struct FetchedWal {
    name: WalName,
    pub(crate) start: Vec<u8>,
    pub(crate) bytes: u64,
}

impl FetchedWal {
    pub(crate) fn new(name: WalName) -> Self {
        Self { name, start: Vec::with_capacity(SegmentHeader::BYTES), bytes: 0 }
    }

    /// Adds a piece, unless the file would become too large.
    pub(crate) fn add(&mut self, piece: &[u8]) -> Result<(), String> {
        self.start.extend(piece.iter().take(SegmentHeader::BYTES - self.start.len()));
        self.bytes += piece.len() as u64;
        let most = most_bytes(self.name, &self.start);
        if self.bytes > most {
            return Err(format!(
                "it decompresses to more than {most} bytes, the most that such a file can have"
            ));
        }
        Ok(())
    }

    /// Checks that the file is complete and fits its name.
    pub(crate) fn check(&self, object: &ObjectName) -> Result<()> {
        match self.name {
            WalName::Segment(segment) => check_segment(segment, &self.start, self.bytes, object).map(drop),
            _ => Ok(()),
        }
    }
}

/// Returns the segment `number` of timeline 1 in PostgreSQL 15's format, of a cluster with the system identifier 7. It can't be
/// compressed.
///
/// Source: `XLogLongPageHeaderData` in PostgreSQL's `src/include/access/xlog_internal.h`.
#[cfg(test)]
pub(crate) fn synthetic_segment(number: u32, segment_bytes: u32) -> Vec<u8> {
    let mut segment = [
        &0xD110_u16.to_ne_bytes()[..],
        &2_u16.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
        &(u64::from(number) * u64::from(segment_bytes)).to_ne_bytes(),
        &[0; 8],
        &7_u64.to_ne_bytes(),
        &segment_bytes.to_ne_bytes(),
        &8192_u32.to_ne_bytes(),
    ]
    .concat();
    let header = segment.len();
    segment.resize(segment_bytes as usize, 0);
    blake3::Hasher::new().update(&number.to_ne_bytes()).finalize_xof().fill(&mut segment[header..]);
    segment
}
