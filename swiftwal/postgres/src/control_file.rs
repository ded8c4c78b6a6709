//! Reads a cluster's identity and settings from `global/pg_control`.

use crate::machine_order::Numbers;
use crate::{Lsn, SegmentSize, Timeline};

/// The permanent part of a cluster's control file: its identity and its settings from initdb.
///
/// Source: `ControlFileData` in PostgreSQL's `src/include/catalog/pg_control.h`. The first three fields never move. The
/// position of the segment size depends on the version, but in every version since 8.3 these fields are consecutive:
/// `floatFormat` (the double 1234567.0), `blcksz`, `relseg_size`, `xlog_blcksz`, `xlog_seg_size` (four bytes each). From
/// version 19 on, the pages of an SLRU segment stand before `xlog_blcksz`. So the parser searches for the double, and
/// checks the fields that follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlFile {
    /// The number that `initdb` gave to the cluster, and that its WAL contains.
    pub system_identifier: u64,
    /// The version of the control file's own format, such as 1300.
    pub control_version: u32,
    /// The version of the system catalogs, such as 202209061.
    pub catalog_version: u32,
    /// The size of the cluster's WAL segments.
    pub segment_size: SegmentSize,
}

/// The size of the part with content: it never exceeds one disk sector, so that it is written atomically.
const CONTENT_BYTES: usize = 512;

/// `pg_control_version`.
const CONTROL_VERSION_AT: usize = 8;
/// `state`, which stands there in every version since 8.3.
const STATE_AT: usize = 16;
/// `DB_SHUTDOWNED` and `DB_SHUTDOWNED_IN_RECOVERY`, the latter since 9.1.
const SHUT_DOWN: std::ops::RangeInclusive<u32> = 1..=2;

/// `checkPointCopy.redo`.
const REDO_AT: usize = 40;
/// `checkPointCopy.ThisTimeLineID`, and where it stands before version 11, which removed `prevCheckPoint`.
const TIMELINE_AT: usize = 48;
const TIMELINE_AT_UNTIL_10: usize = 56;
/// The control version of PostgreSQL 11.
const VERSION_11: u32 = 1100;

/// The distance from `xlog_seg_size` to `data_checksum_version`. Four numbers and a truth value are between them.
const CHECKSUM_VERSION_BEHIND: usize = 24;

const FLOAT_FORMAT: f64 = 1_234_567.0;

impl ControlFile {
    /// Parses the file, of which at least the first 512 bytes are given.
    ///
    /// It is read in this machine's byte order; for a file from a machine with the opposite order, the error says so.
    /// The file's checksum isn't verified, since its position depends on the version, too.
    pub fn parse(file: &[u8]) -> Result<Self, ControlFileError> {
        let content = file.get(..CONTENT_BYTES).ok_or(ControlFileError::TooShort { bytes: file.len() })?;
        Self::read(Numbers::native(content)).ok_or_else(|| match Self::read(Numbers::swapped(content)) {
            Some(_) => ControlFileError::ForeignByteOrder,
            None => ControlFileError::NotControlFile,
        })
    }

    /// Returns whether the server of this control file, in this machine's byte order, was shut down. `None` if the file is
    /// too short.
    pub fn was_shut_down(file: &[u8]) -> Option<bool> {
        Numbers::native(file).u32(STATE_AT).map(|state| SHUT_DOWN.contains(&state))
    }

    /// Returns where recovery from the last checkpoint begins, from the control file of version 11 or later, in this
    /// machine's byte order. `None` if the file is too short.
    pub fn checkpoint_redo(file: &[u8]) -> Option<Lsn> {
        Numbers::native(file).u64(REDO_AT).map(Lsn)
    }

    /// Returns the timeline of the last checkpoint, from a control file in this machine's byte order. `None` if the file is
    /// too short.
    pub fn checkpoint_timeline(file: &[u8]) -> Option<Timeline> {
        let numbers = Numbers::native(file);
        let at =
            if numbers.u32(CONTROL_VERSION_AT)? < VERSION_11 { TIMELINE_AT_UNTIL_10 } else { TIMELINE_AT };
        Timeline::new(numbers.u32(at)?)
    }

    /// Whether the pages have checksums, from the control file of version 11 or later, in this machine's byte order.
    /// `None` if that can't be read.
    pub fn has_checksums(file: &[u8]) -> Option<bool> {
        let numbers = Numbers::native(file.get(..CONTENT_BYTES)?);
        let (at, _) = segment_size(numbers)?;
        Some(numbers.u32(at + CHECKSUM_VERSION_BEHIND)? != 0)
    }

    fn read(numbers: Numbers<'_>) -> Option<Self> {
        let (_, segment_size) = segment_size(numbers)?;
        Some(Self {
            system_identifier: numbers.u64(0)?,
            control_version: numbers.u32(CONTROL_VERSION_AT)?,
            catalog_version: numbers.u32(12)?,
            segment_size,
        })
    }
}

/// Returns the segment size, with its position.
fn segment_size(numbers: Numbers<'_>) -> Option<(usize, SegmentSize)> {
    (16..CONTENT_BYTES).step_by(8).find_map(|offset| segment_size_after(numbers, offset))
}

/// Returns the segment size and its position, if the fields that precede it begin at `offset`.
fn segment_size_after(numbers: Numbers<'_>, offset: usize) -> Option<(usize, SegmentSize)> {
    let is_page_size = |bytes: u32| bytes.is_power_of_two() && (1 << 10..=64 << 10).contains(&bytes);
    if numbers.u64(offset)? != FLOAT_FORMAT.to_bits() || !is_page_size(numbers.u32(offset + 8)?) {
        return None;
    }
    // The pages of an SLRU segment are 32, which is no size of a page.
    let xlog_blcksz =
        [offset + 16, offset + 20].into_iter().find(|at| numbers.u32(*at).is_some_and(is_page_size))?;
    let at = xlog_blcksz + 4;
    Some((at, SegmentSize::new(numbers.u32(at)?.into()).ok()?))
}

/// The file isn't a control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlFileError {
    /// The file is shorter than a control file's content.
    #[error("a pg_control file has at least 512 bytes, but there are only {bytes}; the file was cut short")]
    TooShort {
        /// The length of the file.
        bytes: usize,
    },
    /// The file comes from a machine with the opposite byte order.
    #[error(
        "the pg_control file was written on a machine with the opposite byte order; \
         handle it on a machine with the same order as the database server's"
    )]
    ForeignByteOrder,
    /// The fields that every control file has are missing.
    #[error(
        "the file isn't a pg_control file of a known form, or it is damaged; check the cluster with pg_controldata"
    )]
    NotControlFile,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENTS_OF_16_MIB: &[u8] = include_bytes!("../tests/data/pg_control");
    const SLRU_SEGMENTS_BEFORE_IT: &[u8] = include_bytes!("../tests/data/19rc1-pg_control");
    const SEGMENTS_OF_64_MIB: &[u8] = include_bytes!("../tests/data/64MiB-pg_control");

    #[test]
    fn a_cluster_with_page_checksums_is_recognised() {
        assert_eq!(ControlFile::has_checksums(SEGMENTS_OF_16_MIB), Some(false));
        assert_eq!(ControlFile::has_checksums(SLRU_SEGMENTS_BEFORE_IT), Some(true));
        assert_eq!(ControlFile::has_checksums(&[0; 8192]), None);
        assert_eq!(ControlFile::has_checksums(&[]), None);
    }

    #[test]
    fn the_timeline_of_the_last_checkpoint_is_read() {
        assert_eq!(ControlFile::checkpoint_timeline(SEGMENTS_OF_16_MIB), Timeline::new(3));
        assert_eq!(ControlFile::checkpoint_timeline(&SEGMENTS_OF_16_MIB[..50]), None);
        let mut of_version_10 = SEGMENTS_OF_16_MIB.to_vec();
        of_version_10[CONTROL_VERSION_AT..][..4].copy_from_slice(&1002_u32.to_ne_bytes());
        of_version_10[TIMELINE_AT_UNTIL_10..][..4].copy_from_slice(&5_u32.to_ne_bytes());
        assert_eq!(ControlFile::checkpoint_timeline(&of_version_10), Timeline::new(5));
    }

    #[test]
    fn a_control_file_written_by_postgresql_15_is_read() {
        let control = ControlFile::parse(SEGMENTS_OF_16_MIB).unwrap();
        assert_eq!(control.control_version, 1300);
        assert_eq!(control.catalog_version, 202_209_061);
        assert_eq!(control.segment_size, SegmentSize::default());
    }

    #[test]
    fn the_control_file_names_the_cluster_that_the_wal_names() {
        for (control, page) in [
            (SEGMENTS_OF_16_MIB, &include_bytes!("../tests/data/000000010000000000000002.first-page")[..]),
            (SEGMENTS_OF_64_MIB, include_bytes!("../tests/data/64MiB-000000010000000000000001.first-page")),
        ] {
            let control = ControlFile::parse(control).unwrap();
            let header = crate::SegmentHeader::parse(page).unwrap();
            assert_eq!(control.system_identifier, header.system_identifier);
            assert_eq!(control.segment_size, header.segment_size);
        }
    }

    #[test]
    fn a_segment_size_of_64_mib_is_found() {
        assert_eq!(ControlFile::parse(SEGMENTS_OF_64_MIB).unwrap().segment_size.bytes(), 64 << 20);
    }

    #[test]
    fn the_segment_size_is_found_wherever_a_version_puts_it() {
        let mut other_version = SEGMENTS_OF_64_MIB.to_vec();
        other_version.splice(16..16, [0; 24]);
        assert_eq!(ControlFile::parse(&other_version).unwrap().segment_size.bytes(), 64 << 20);
    }

    #[test]
    fn a_control_file_written_by_postgresql_19_is_read() {
        let control = ControlFile::parse(SLRU_SEGMENTS_BEFORE_IT).unwrap();
        assert_eq!(control.control_version, 1905);
        assert_eq!(ControlFile::was_shut_down(SLRU_SEGMENTS_BEFORE_IT), Some(true));
        assert_eq!(control.segment_size, SegmentSize::default());
    }

    #[test]
    fn a_control_file_that_is_cut_short_is_refused() {
        assert_eq!(
            ControlFile::parse(&SEGMENTS_OF_16_MIB[..511]),
            Err(ControlFileError::TooShort { bytes: 511 })
        );
        assert!(ControlFile::parse(&SEGMENTS_OF_16_MIB[..512]).is_ok());
    }

    #[test]
    fn what_is_no_control_file_is_refused() {
        let float = FLOAT_FORMAT.to_ne_bytes();
        let at = SEGMENTS_OF_16_MIB.windows(8).position(|bytes| bytes == float).unwrap();
        let mut no_segment_size = SEGMENTS_OF_16_MIB.to_vec();
        no_segment_size[at + 20..at + 24].fill(0);
        for bytes in [&no_segment_size[..], &[0; 8192], &b"PostgreSQL".repeat(60)] {
            assert_eq!(ControlFile::parse(bytes), Err(ControlFileError::NotControlFile));
        }
    }

    #[test]
    fn a_control_file_of_the_opposite_byte_order_is_told_so() {
        let float = FLOAT_FORMAT.to_ne_bytes();
        let at = SEGMENTS_OF_16_MIB.windows(8).position(|bytes| bytes == float).unwrap();
        let mut bytes = SEGMENTS_OF_16_MIB.to_vec();
        for field in [0..8, 8..12, 12..16, at..at + 8, at + 8..at + 12, at + 16..at + 20, at + 20..at + 24] {
            bytes[field].reverse();
        }
        assert_eq!(ControlFile::parse(&bytes), Err(ControlFileError::ForeignByteOrder));
    }
}
