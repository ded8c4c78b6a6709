//! Reads the first page of a WAL segment.

use crate::machine_order::Numbers;
use crate::{Lsn, SegmentName, SegmentSize, Timeline};

/// The long page header that every WAL segment begins with.
///
/// Source: `XLogLongPageHeaderData` in PostgreSQL's `src/include/access/xlog_internal.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// A number that identifies the version of PostgreSQL that wrote the segment.
    pub magic: u16,
    /// The timeline of the first record on the page.
    pub timeline: Timeline,
    /// Where the segment begins.
    pub page_address: Lsn,
    /// The cluster that the segment belongs to.
    pub system_identifier: u64,
    /// The size of the cluster's segments.
    pub segment_size: SegmentSize,
    /// The size of a WAL page in bytes.
    pub block_size: u32,
}

/// The flag in a page's `xlp_info` that marks a long header.
const LONG_HEADER: u16 = 0x0002;

/// The magic of the last version without `xlp_rem_len`, and with the high half of an LSN stored first.
const MAGIC_9_2: u16 = 0xD071;

/// `XLOG_PAGE_MAGIC` of each version, 9.0 to 9.6 first; for 19, that of its first release candidate.
const MAGICS: [(u16, u32); 17] = [
    (0xD064, 9),
    (0xD066, 9),
    (MAGIC_9_2, 9),
    (0xD075, 9),
    (0xD07E, 9),
    (0xD087, 9),
    (0xD093, 9),
    (0xD097, 10),
    (0xD098, 11),
    (0xD101, 12),
    (0xD106, 13),
    (0xD10D, 14),
    (0xD110, 15),
    (0xD113, 16),
    (0xD116, 17),
    (0xD118, 18),
    (0xD122, 19),
];

impl SegmentHeader {
    /// The number of bytes from the start of a segment that [`parse`](Self::parse) needs.
    pub const BYTES: usize = 40;

    /// Parses the header from the start of a segment, of which at least [`BYTES`](Self::BYTES) are given.
    ///
    /// It is read in this machine's byte order; for a segment from a machine with the opposite order, the error says
    /// so. An unknown magic isn't an error, since each new version of PostgreSQL has a new one.
    pub fn parse(start_of_segment: &[u8]) -> Result<Self, HeaderError> {
        if start_of_segment.len() < Self::BYTES {
            return Err(HeaderError::TooShort { bytes: start_of_segment.len() });
        }
        Self::read(Numbers::native(start_of_segment)).ok_or_else(|| {
            match Self::read(Numbers::swapped(start_of_segment)) {
                Some(_) => HeaderError::ForeignByteOrder,
                None => HeaderError::NotLong,
            }
        })
    }

    fn read(numbers: Numbers<'_>) -> Option<Self> {
        let magic = numbers.u16(0)?;
        let page_address = Self::address_of_page(numbers)?;
        let long_part = if magic <= MAGIC_9_2 { 16 } else { 24 };
        let is_long = numbers.u16(2)? & LONG_HEADER != 0;
        let block_size = numbers.u32(long_part + 12)?;
        // PostgreSQL can be built with pages of 1 to 64 KiB.
        let is_block_size = block_size.is_power_of_two() && (1 << 10..=64 << 10).contains(&block_size);
        (is_long && is_block_size).then_some(Self {
            magic,
            timeline: Timeline::new(numbers.u32(4)?)?,
            page_address: Lsn(page_address),
            system_identifier: numbers.u64(long_part)?,
            segment_size: SegmentSize::new(numbers.u32(long_part + 8)?.into()).ok()?,
            block_size,
        })
    }

    /// Returns where a page of WAL begins according to its header.
    pub(crate) fn address_of_page(page: Numbers<'_>) -> Option<u64> {
        if page.u16(0)? <= MAGIC_9_2 {
            return Some(u64::from(page.u32(8)?) << 32 | u64::from(page.u32(12)?));
        }
        page.u64(8)
    }

    /// Returns the major version of PostgreSQL that writes this magic, 9 for all of 9.0 to 9.6; `None` if it is
    /// unknown.
    pub fn major_version(&self) -> Option<u32> {
        MAGICS.iter().find(|(magic, _)| *magic == self.magic).map(|(_, version)| *version)
    }

    /// Checks that a segment with this header can have this name.
    ///
    /// Its page address must be the start of the name's segment, and its timeline that of the name or an older one: the
    /// first segment of a new timeline begins with a copy of the old one's pages.
    pub fn check_name(&self, name: SegmentName) -> Result<(), HeaderError> {
        if name.start(self.segment_size) != Some(self.page_address) {
            let found = SegmentName::containing(name.timeline(), self.page_address, self.segment_size);
            return Err(HeaderError::WrongPosition { name, found, page_address: self.page_address });
        }
        if self.timeline > name.timeline() {
            return Err(HeaderError::WrongTimeline { name, timeline: self.timeline });
        }
        Ok(())
    }
}

/// The file isn't the expected WAL segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file is shorter than a header.
    #[error(
        "a WAL segment begins with a header of 40 bytes, but there are only {bytes}; the file was cut short"
    )]
    TooShort {
        /// The length of the file.
        bytes: usize,
    },
    /// The file comes from a machine with the opposite byte order.
    #[error(
        "the WAL segment was written on a machine with the opposite byte order; \
         handle it on a machine with the same order as the database server's"
    )]
    ForeignByteOrder,
    /// The first page doesn't begin with a long header.
    #[error(
        "the file doesn't begin with the long page header of a WAL segment; it isn't a WAL segment, or it is damaged"
    )]
    NotLong,
    /// The file is another segment than its name says.
    #[error(
        "the file named {name} begins at {page_address}, so it is the segment {found}; \
         find out what renamed or recycled it"
    )]
    WrongPosition {
        /// The expected name.
        name: SegmentName,
        /// The name that fits, on the same timeline.
        found: SegmentName,
        /// The page address in the header.
        page_address: Lsn,
    },
    /// The file was written on a later timeline than its name says.
    #[error("the file named {name} was written on the later timeline {timeline}; find out what renamed it")]
    WrongTimeline {
        /// The expected name.
        name: SegmentName,
        /// The timeline in the header.
        timeline: Timeline,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_values::{segment_sizes, timelines};

    const SEGMENT_16_MIB: &[u8] = include_bytes!("../tests/data/000000010000000000000002.first-page");
    const SEGMENT_64_MIB: &[u8] = include_bytes!("../tests/data/64MiB-000000010000000000000001.first-page");
    const FIRST_OF_TIMELINE_2: &[u8] = include_bytes!("../tests/data/000000020000000000000005.first-page");

    fn name(text: &str) -> SegmentName {
        text.parse().unwrap()
    }

    /// Encodes the header in this machine's byte order.
    fn encode(header: &SegmentHeader) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(header.magic.to_ne_bytes());
        bytes.extend(LONG_HEADER.to_ne_bytes());
        bytes.extend(header.timeline.get().to_ne_bytes());
        if header.magic <= MAGIC_9_2 {
            bytes.extend(((header.page_address.0 >> 32) as u32).to_ne_bytes());
            bytes.extend((header.page_address.0 as u32).to_ne_bytes());
        } else {
            bytes.extend(header.page_address.0.to_ne_bytes());
            bytes.extend([0; 8]);
        }
        bytes.extend(header.system_identifier.to_ne_bytes());
        bytes.extend((header.segment_size.bytes() as u32).to_ne_bytes());
        bytes.extend(header.block_size.to_ne_bytes());
        bytes.resize(SegmentHeader::BYTES, 0);
        bytes
    }

    /// Returns the header in the opposite byte order.
    fn swap(native: &[u8]) -> Vec<u8> {
        let mut bytes = native.to_vec();
        for field in [0..2, 2..4, 4..8, 8..16, 16..20, 24..32, 32..36, 36..40] {
            bytes[field].reverse();
        }
        bytes
    }

    fn headers() -> impl Strategy<Value = SegmentHeader> {
        let magic = prop::sample::select(MAGICS.map(|(magic, _)| magic).to_vec());
        (magic, timelines(), any::<u64>(), any::<u64>(), segment_sizes(), 10..=16u32).prop_map(
            |(magic, timeline, address, system_identifier, segment_size, block_exponent)| SegmentHeader {
                magic,
                timeline,
                page_address: Lsn(address - address % segment_size.bytes()),
                system_identifier,
                segment_size,
                block_size: 1 << block_exponent,
            },
        )
    }

    #[test]
    fn a_segment_written_by_postgresql_15_is_read() {
        let header = SegmentHeader::parse(SEGMENT_16_MIB).unwrap();
        assert_eq!(header.major_version(), Some(15));
        assert_eq!(header.timeline, Timeline::FIRST);
        assert_eq!(header.page_address, Lsn(0x200_0000));
        assert_eq!(header.segment_size, SegmentSize::default());
        assert_eq!(header.block_size, 8192);
        header.check_name(name("000000010000000000000002")).unwrap();
    }

    #[test]
    fn a_segment_of_64_mib_is_read() {
        let header = SegmentHeader::parse(SEGMENT_64_MIB).unwrap();
        assert_eq!(header.segment_size.bytes(), 64 << 20);
        assert_eq!(header.page_address, Lsn(0x400_0000));
        header.check_name(name("000000010000000000000001")).unwrap();
    }

    #[test]
    fn the_first_segment_of_a_new_timeline_may_carry_the_old_one() {
        let header = SegmentHeader::parse(FIRST_OF_TIMELINE_2).unwrap();
        assert_eq!(header.timeline, Timeline::FIRST);
        header.check_name(name("000000020000000000000005")).unwrap();
    }

    #[test]
    fn a_header_does_not_fit_another_position() {
        let header = SegmentHeader::parse(SEGMENT_16_MIB).unwrap();
        for other in ["000000010000000000000003", "000000010000000100000002", "000000010000000000000102"] {
            let error = header.check_name(name(other)).unwrap_err();
            assert!(error.to_string().contains("000000010000000000000002"), "{error}");
        }
    }

    #[test]
    fn a_header_of_a_later_timeline_is_refused() {
        let header =
            SegmentHeader { timeline: "3".parse().unwrap(), ..SegmentHeader::parse(SEGMENT_16_MIB).unwrap() };
        let error = header.check_name(name("000000020000000000000002")).unwrap_err();
        assert!(error.to_string().contains("the later timeline 3"), "{error}");
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        assert_eq!(SegmentHeader::parse(&SEGMENT_16_MIB[..39]), Err(HeaderError::TooShort { bytes: 39 }));
        assert_eq!(SegmentHeader::parse(&[]), Err(HeaderError::TooShort { bytes: 0 }));
        assert_eq!(SegmentHeader::parse(&SEGMENT_16_MIB[..40]), SegmentHeader::parse(SEGMENT_16_MIB));
    }

    #[test]
    fn what_has_no_long_header_is_refused() {
        let mut short_header = SEGMENT_16_MIB.to_vec();
        short_header[2..4].copy_from_slice(&0x0005u16.to_ne_bytes());
        for bytes in [&short_header[..], &[0; 8192], &[0xFF; 8192], &b"PostgreSQL".repeat(10)] {
            assert_eq!(SegmentHeader::parse(bytes), Err(HeaderError::NotLong));
        }
    }

    #[test]
    fn a_magic_of_a_version_to_come_is_no_error() {
        let header = SegmentHeader { magic: 0xD1FF, ..SegmentHeader::parse(SEGMENT_16_MIB).unwrap() };
        assert_eq!(SegmentHeader::parse(&encode(&header)), Ok(header));
        assert_eq!(header.major_version(), None);
    }

    proptest! {
        #[test]
        fn every_header_is_read_as_it_was_written(header in headers()) {
            prop_assert_eq!(SegmentHeader::parse(&encode(&header)), Ok(header));
        }

        #[test]
        fn a_segment_of_the_opposite_byte_order_is_told_so(header in headers()) {
            prop_assume!(header.magic > MAGIC_9_2);
            prop_assert_eq!(SegmentHeader::parse(&swap(&encode(&header))), Err(HeaderError::ForeignByteOrder));
        }

        #[test]
        fn a_header_fits_the_name_of_its_place_and_no_other(header in headers(), other: u64, later in timelines()) {
            let name = SegmentName::containing(header.timeline, header.page_address, header.segment_size);
            prop_assert_eq!(header.check_name(name), Ok(()));
            prop_assert_eq!(header.check_name(name.on_timeline(later)).is_ok(), header.timeline <= later);
            let elsewhere = SegmentName::containing(header.timeline, Lsn(other), header.segment_size);
            prop_assert_eq!(header.check_name(elsewhere).is_ok(), elsewhere == name);
        }
    }
}
