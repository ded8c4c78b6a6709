//! The names of WAL segments.

use std::fmt;
use std::str::FromStr;

use crate::text::{hex_u32, serde_as_text};
use crate::{Lsn, SegmentSize, Timeline};

/// The name of a WAL segment: 24 hexadecimal digits, eight each for timeline, log and segment.
///
/// It is ordered as its text: by timeline first. Which LSNs it contains depends on the cluster's segment size. Serde
/// stores the name.
///
/// Source: `XLogFileName` in PostgreSQL's `src/include/access/xlog_internal.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    // The order of the fields is the order of the names.
    timeline: Timeline,
    log: u32,
    seg: u32,
}

impl SegmentName {
    /// Returns the segment of `timeline` that contains the byte at `lsn`.
    pub fn containing(timeline: Timeline, lsn: Lsn, size: SegmentSize) -> Self {
        Self::numbered(timeline, lsn.0 / size.bytes(), size)
    }

    /// Returns the segment with this number, counted from 0; `number` must be within the 64 bits of an LSN.
    fn numbered(timeline: Timeline, number: u64, size: SegmentSize) -> Self {
        let per_log = size.segments_per_log();
        Self { timeline, log: (number / per_log) as u32, seg: (number % per_log) as u32 }
    }

    /// Returns the timeline.
    pub fn timeline(self) -> Timeline {
        self.timeline
    }

    /// Returns the log and the segment, which order segments regardless of timelines.
    pub fn position(self) -> (u32, u32) {
        (self.log, self.seg)
    }

    /// Returns where the segment begins; `None` if a cluster with segments of this size never has a segment of this
    /// name.
    pub fn start(self, size: SegmentSize) -> Option<Lsn> {
        if u64::from(self.seg) >= size.segments_per_log() {
            return None;
        }
        Some(Lsn((u64::from(self.log) << 32) | (u64::from(self.seg) * size.bytes())))
    }

    /// Returns the position of the segment's last byte; `None` as for [`start`](Self::start).
    #[must_use]
    pub fn last_byte(self, size: SegmentSize) -> Option<Lsn> {
        self.start(size).map(|start| Lsn(start.0 + (size.bytes() - 1)))
    }

    /// Returns the next segment on the same timeline; `None` at the end of all WAL, and if [`start`](Self::start) is
    /// `None`.
    ///
    /// PostgreSQL 9.2 and older skip the last segment of each log; this method doesn't.
    pub fn next(self, size: SegmentSize) -> Option<Self> {
        let next = self.start(size)?.0.checked_add(size.bytes())?;
        Some(Self::containing(self.timeline, Lsn(next), size))
    }

    /// Returns the segment before it on the same timeline; `None` at the beginning of all WAL, and if
    /// [`start`](Self::start) is `None`.
    pub fn previous(self, size: SegmentSize) -> Option<Self> {
        let previous = self.start(size)?.0.checked_sub(size.bytes())?;
        Some(Self::containing(self.timeline, Lsn(previous), size))
    }

    /// Returns the segment at the same position of another timeline.
    pub fn on_timeline(self, timeline: Timeline) -> Self {
        Self { timeline, ..self }
    }
}

/// Returns the segments of `timeline` that contain the WAL from `start` to `stop` (exclusive), in order.
///
/// A `stop` on a boundary needs only the segment before it. The segment of `start` is always included.
///
/// ```
/// use swiftwal_postgres::{SegmentSize, Timeline, segments_between};
///
/// let needed = segments_between(Timeline::FIRST, "0/2000028".parse()?, "0/4000000".parse()?, SegmentSize::default());
/// assert_eq!(
///     needed.map(|name| name.to_string()).collect::<Vec<_>>(),
///     ["000000010000000000000002", "000000010000000000000003"],
/// );
/// # Ok::<(), swiftwal_postgres::ParseLsnError>(())
/// ```
pub fn segments_between(
    timeline: Timeline,
    start: Lsn,
    stop: Lsn,
    size: SegmentSize,
) -> impl Iterator<Item = SegmentName> {
    let first = start.0 / size.bytes();
    let last = stop.0.saturating_sub(1) / size.bytes();
    (first..=last.max(first)).map(move |number| SegmentName::numbered(timeline, number, size))
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Formatted without `{:08X}`, which pads digit by digit: listings of 100,000 names spend much of their time
        // here.
        let number = [self.timeline.get(), self.log, self.seg].map(u32::to_be_bytes);
        let digits = number.as_flattened().iter().flat_map(|byte| [byte >> 4, byte & 0xF]);
        let mut text = [0; 24];
        for (place, digit) in text.iter_mut().zip(digits) {
            *place = b"0123456789ABCDEF"[usize::from(digit)];
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl FromStr for SegmentName {
    type Err = ParseWalNameError;

    /// Parses 24 hexadecimal digits, upper case only, as PostgreSQL does; timeline 0 doesn't exist.
    fn from_str(text: &str) -> Result<Self, ParseWalNameError> {
        parse(text).ok_or_else(|| ParseWalNameError::new(text))
    }
}

fn parse(text: &str) -> Option<SegmentName> {
    if text.len() != 24 || !text.is_ascii() {
        return None;
    }
    let field = |n: usize| hex_u32(&text[8 * n..8 * n + 8], false);
    Some(SegmentName { timeline: Timeline::new(field(0)?)?, log: field(1)?, seg: field(2)? })
}

serde_as_text!(SegmentName);

/// The text isn't the name of a WAL file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' is not the name of a WAL file; the names are 00000001000000000000005C (a segment), \
     00000001000000000000005C.partial, 00000001000000000000005C.00000020.backup and 00000002.history, \
     with hexadecimal digits in upper case",
    crate::printable(text)
)]
pub struct ParseWalNameError {
    text: String,
}

impl ParseWalNameError {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_values::{segment_names, segment_sizes};

    const SIZE_16_MIB: u64 = 16 << 20;

    fn name(text: &str) -> SegmentName {
        text.parse().unwrap()
    }

    fn size(bytes: u64) -> SegmentSize {
        SegmentSize::new(bytes).unwrap()
    }

    #[test]
    fn a_segment_is_named_after_the_lsn_it_holds() {
        let timeline = Timeline::new(0x1A).unwrap();
        let named = |lsn, bytes| SegmentName::containing(timeline, Lsn(lsn), size(bytes)).to_string();
        assert_eq!(named(0x5C00_0020, SIZE_16_MIB), "0000001A000000000000005C");
        assert_eq!(named(0x7_FFFF_FFFF, SIZE_16_MIB), "0000001A00000007000000FF");
        assert_eq!(named(0x7_FFFF_FFFF, 1 << 30), "0000001A0000000700000003");
        assert_eq!(named(0x7_FFFF_FFFF, 1 << 20), "0000001A0000000700000FFF");
    }

    #[test]
    fn a_segment_number_that_the_size_does_not_have_has_no_start() {
        assert_eq!(name("0000000100000007000000FF").start(size(SIZE_16_MIB)), Some(Lsn(0x7_FF00_0000)));
        assert_eq!(name("000000010000000700000100").start(size(SIZE_16_MIB)), None);
        assert_eq!(name("000000010000000700000100").next(size(SIZE_16_MIB)), None);
        assert_eq!(name("000000010000000700000004").start(size(1 << 30)), None);
    }

    #[test]
    fn the_next_segment_carries_into_the_next_log() {
        assert_eq!(
            name("0000000100000007000000FF").next(size(SIZE_16_MIB)),
            Some(name("000000010000000800000000"))
        );
        assert_eq!(name("00000001FFFFFFFF000000FF").next(size(SIZE_16_MIB)), None);
    }

    #[test]
    fn the_previous_segment_borrows_from_the_log_before() {
        assert_eq!(
            name("000000010000000800000000").previous(size(SIZE_16_MIB)),
            Some(name("0000000100000007000000FF"))
        );
        assert_eq!(name("000000010000000000000000").previous(size(SIZE_16_MIB)), None);
    }

    #[test]
    fn a_stop_on_a_boundary_needs_only_the_segment_before_it() {
        let names = |start, stop| {
            segments_between(Timeline::FIRST, Lsn(start), Lsn(stop), size(SIZE_16_MIB))
                .map(SegmentName::position)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(0x200_0028, 0x300_0000), [(0, 2)]);
        assert_eq!(names(0x200_0028, 0x300_0001), [(0, 2), (0, 3)]);
        assert_eq!(names(0xFE00_0028, 0x1_0100_0000), [(0, 0xFE), (0, 0xFF), (1, 0)]);
    }

    #[test]
    fn the_segment_of_the_start_is_needed_even_when_nothing_follows() {
        let names = |start, stop| {
            segments_between(Timeline::FIRST, Lsn(start), Lsn(stop), size(SIZE_16_MIB))
                .map(SegmentName::position)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(0x200_0028, 0x200_0028), [(0, 2)]);
        assert_eq!(names(0x200_0000, 0x200_0000), [(0, 2)]);
        assert_eq!(names(0, 0), [(0, 0)]);
    }

    #[test]
    fn what_is_no_segment_name_is_refused() {
        for text in [
            "",
            "00000001000000000000005",
            "00000001000000000000005C0",
            "00000001000000000000005c",
            "00000000000000000000005C",
            "+0000001000000000000005C",
            "0000000100000000000000é",
            "00000001000000000000005C.partial",
        ] {
            assert!(text.parse::<SegmentName>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_name_survives_printing_and_reading(name in segment_names()) {
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn names_order_as_their_text(a in segment_names(), b in segment_names()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn a_segment_begins_at_or_before_the_lsn_it_holds_and_the_next_begins_after(lsn: u64, size in segment_sizes()) {
            let name = SegmentName::containing(Timeline::FIRST, Lsn(lsn), size);
            prop_assert!(name.start(size).unwrap() <= Lsn(lsn));
            prop_assert!(name.next(size).is_none_or(|next| Lsn(lsn) < next.start(size).unwrap()));
        }
    }
}
