//! The names of all files that PostgreSQL passes to its archive_command.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::text::{hex_u32, serde_as_text};
use crate::{ParseWalNameError, SegmentName, Timeline};

/// The name of a file that PostgreSQL archives.
///
/// It is ordered as its text, so a history file comes before the segments of its timeline. Serde stores the name.
///
/// Source: the `Is…FileName` functions in PostgreSQL's `src/include/access/xlog_internal.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WalName {
    /// A complete segment: `00000001000000000000005C`.
    Segment(SegmentName),
    /// The incomplete last segment of the timeline that a promoted server left: `00000001000000000000005C.partial`.
    Partial(SegmentName),
    /// The history of a base backup: `00000001000000000000005C.00000020.backup`.
    Backup {
        /// The segment in which the backup starts.
        segment: SegmentName,
        /// The offset in that segment at which it starts, in bytes.
        offset: u32,
    },
    /// The history of a timeline: `00000002.history`.
    History(Timeline),
}

impl WalName {
    /// Returns the timeline that the file belongs to.
    pub fn timeline(self) -> Timeline {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::Backup { segment, .. } => {
                segment.timeline()
            }
            Self::History(timeline) => timeline,
        }
    }

    /// Returns the segment that the file is or belongs to; `None` for a history file.
    pub fn segment(self) -> Option<SegmentName> {
        match self {
            Self::Segment(segment) | Self::Partial(segment) | Self::Backup { segment, .. } => Some(segment),
            Self::History(_) => None,
        }
    }

    /// Returns numbers that are ordered as the text: `.` sorts before every digit, and digits before `partial`.
    fn order(&self) -> [u64; 3] {
        let (has_segment, position) = match self.segment().map(SegmentName::position) {
            Some((log, seg)) => (1, u64::from(log) << 32 | u64::from(seg)),
            None => (0, 0),
        };
        let suffix = match *self {
            Self::Segment(_) | Self::History(_) => 0,
            Self::Backup { offset, .. } => 1 << 32 | u64::from(offset),
            Self::Partial(_) => 2 << 32,
        };
        [u64::from(self.timeline().get()) << 1 | has_segment, position, suffix]
    }
}

impl Ord for WalName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for WalName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(segment) => segment.fmt(f),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::Backup { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
            Self::History(timeline) => write!(f, "{:08X}.history", timeline.get()),
        }
    }
}

impl FromStr for WalName {
    type Err = ParseWalNameError;

    /// Parses a file name without directories. Hexadecimal digits must be upper case, as PostgreSQL writes and reads
    /// them.
    fn from_str(text: &str) -> Result<Self, ParseWalNameError> {
        parse(text).ok_or_else(|| ParseWalNameError::new(text))
    }
}

fn parse(text: &str) -> Option<WalName> {
    let eight_digits = |digits: &str| if digits.len() == 8 { hex_u32(digits, false) } else { None };
    if let Some(timeline) = text.strip_suffix(".history") {
        return Some(WalName::History(Timeline::new(eight_digits(timeline)?)?));
    }
    if let Some(segment) = text.strip_suffix(".partial") {
        return Some(WalName::Partial(segment.parse().ok()?));
    }
    if let Some(segment_and_offset) = text.strip_suffix(".backup") {
        let (segment, offset) = segment_and_offset.split_once('.')?;
        return Some(WalName::Backup { segment: segment.parse().ok()?, offset: eight_digits(offset)? });
    }
    Some(WalName::Segment(text.parse().ok()?))
}

serde_as_text!(WalName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_values::{segment_names, timelines};

    const SEGMENT: &str = "0000001A000000000000005C";

    /// Names with so few different parts that neighbours of one segment are often compared.
    fn wal_names() -> impl Strategy<Value = WalName> {
        prop_oneof![
            segment_names().prop_map(WalName::Segment),
            segment_names().prop_map(WalName::Partial),
            (segment_names(), any::<u32>()).prop_map(|(segment, offset)| WalName::Backup { segment, offset }),
            timelines().prop_map(WalName::History),
        ]
    }

    #[test]
    fn each_form_is_read_as_what_it_is() {
        let segment: SegmentName = SEGMENT.parse().unwrap();
        let read = |suffix: &str| format!("{SEGMENT}{suffix}").parse();
        assert_eq!(read(""), Ok(WalName::Segment(segment)));
        assert_eq!(read(".partial"), Ok(WalName::Partial(segment)));
        assert_eq!(read(".00000028.backup"), Ok(WalName::Backup { segment, offset: 0x28 }));
        assert_eq!("0000001A.history".parse(), Ok(WalName::History(segment.timeline())));
    }

    #[test]
    fn a_name_knows_its_timeline_and_its_segment() {
        let name: WalName = format!("{SEGMENT}.00000028.backup").parse().unwrap();
        assert_eq!(name.timeline().get(), 0x1A);
        assert_eq!(name.segment(), SEGMENT.parse().ok());
        let history: WalName = "0000001A.history".parse().unwrap();
        assert_eq!(history.timeline().get(), 0x1A);
        assert_eq!(history.segment(), None);
    }

    #[test]
    fn what_is_no_wal_file_name_is_refused_named_and_told_the_forms() {
        for text in [
            "",
            ".history",
            "2.history",
            "00000000.history",
            "0000000a.history",
            "00000001000000000000005C.history",
            "00000001000000000000005C.backup",
            "00000001000000000000005C.28.backup",
            "00000001000000000000005C.0000002a.backup",
            "00000001000000000000005C.00000028.partial",
            "00000001000000000000005C.zst",
            "pg_wal/00000001000000000000005C",
            "00000001000000000000005C\n",
        ] {
            let message = text.parse::<WalName>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("'{}' is not", crate::printable(text)))
                    && message.contains("00000002.history"),
                "{message}"
            );
        }
    }

    proptest! {
        #[test]
        fn every_name_survives_printing_and_reading(name in wal_names()) {
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn every_name_survives_serde(name in wal_names()) {
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(&json, &format!("\"{name}\""));
            prop_assert_eq!(serde_json::from_str::<WalName>(&json).unwrap(), name);
        }

        #[test]
        fn names_order_as_their_text(a in wal_names(), b in wal_names()) {
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }
    }
}
