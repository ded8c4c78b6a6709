//! The size of a cluster's WAL segments.

use std::fmt;

use serde::{Deserialize, Serialize};

const MIB: u64 = 1 << 20;

/// The size of the WAL segments of a cluster: a power of two from 1 MiB to 1 GiB, chosen at `initdb`, 16 MiB by
/// default.
///
/// Serde stores the number of bytes. The limits are those of PostgreSQL's `--wal-segsize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SegmentSize(u32);

impl SegmentSize {
    /// The largest segment size that PostgreSQL supports, in bytes.
    pub const MAX_BYTES: u64 = 1024 * MIB;

    /// Creates a size of this many bytes, if PostgreSQL supports it.
    pub fn new(bytes: u64) -> Result<Self, SegmentSizeError> {
        match u32::try_from(bytes) {
            Ok(size) if size.is_power_of_two() && (MIB..=Self::MAX_BYTES).contains(&bytes) => Ok(Self(size)),
            _ => Err(SegmentSizeError { bytes }),
        }
    }

    /// Returns the number of bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// Returns how many segments make up one "log", the 4 GiB that the middle part of a segment's name counts.
    pub(crate) fn segments_per_log(self) -> u64 {
        (1 << 32) / self.bytes()
    }
}

impl Default for SegmentSize {
    /// 16 MiB.
    fn default() -> Self {
        Self(16 << 20)
    }
}

impl fmt::Display for SegmentSize {
    /// Displays the size in MiB, as `16 MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.bytes() / MIB)
    }
}

impl TryFrom<u64> for SegmentSize {
    type Error = SegmentSizeError;

    fn try_from(bytes: u64) -> Result<Self, SegmentSizeError> {
        Self::new(bytes)
    }
}

impl From<SegmentSize> for u64 {
    fn from(size: SegmentSize) -> Self {
        size.bytes()
    }
}

/// PostgreSQL doesn't support WAL segments of this size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bytes} bytes is not the size of a WAL segment; it is a power of two from 1 MiB to 1 GiB, mostly 16 MiB"
)]
pub struct SegmentSizeError {
    bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_powers_of_two_from_1_mib_to_1_gib_are_sizes_and_nothing_else() {
        let accepted: Vec<u64> =
            (0..64).map(|n| 1 << n).filter(|&bytes| SegmentSize::new(bytes).is_ok()).collect();
        assert_eq!(accepted, (20..=30).map(|n| 1 << n).collect::<Vec<u64>>());
        for bytes in [0, 3 << 20, (16 << 20) + 1, (1 << 32) + (16 << 20), u64::MAX] {
            assert_eq!(SegmentSize::new(bytes), Err(SegmentSizeError { bytes }));
        }
    }

    #[test]
    fn the_default_is_16_mib() {
        assert_eq!(SegmentSize::default().bytes(), 16 * 1024 * 1024);
        assert_eq!(SegmentSize::default().to_string(), "16 MiB");
    }

    #[test]
    fn serde_stores_the_bytes_and_refuses_what_is_no_size() {
        assert_eq!(serde_json::to_string(&SegmentSize::default()).unwrap(), "16777216");
        assert_eq!(serde_json::from_str::<SegmentSize>("1048576").unwrap().bytes(), 1 << 20);
        assert!(serde_json::from_str::<SegmentSize>("1048577").is_err());
    }
}
