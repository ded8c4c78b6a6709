//! The backup label.

use std::fmt;

use jiff::Timestamp;

use crate::{Lsn, SegmentName, Timeline, server_time::moment};

/// The backup label that PostgreSQL puts into a base backup: where recovery must begin, and what the backup is.
///
/// Source: `build_backup_content` in PostgreSQL's `src/backend/access/transam/xlogbackup.c`, and before version 15
/// `do_pg_start_backup` in `xlog.c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupLabel {
    bytes: Vec<u8>,
    /// The bytes as text, with replacement characters for bytes that aren't UTF-8.
    text: String,
    start_lsn: Lsn,
    start_segment: SegmentName,
    start_timeline: Timeline,
    checkpoint_lsn: Lsn,
    incremental_from: Option<(Lsn, Timeline)>,
}

impl BackupLabel {
    /// Parses the text of a backup label of PostgreSQL 9.0 or later. Unknown lines are kept and otherwise ignored.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        Self::from_bytes(text.as_bytes())
    }

    /// Parses a backup label as the server wrote it: the label text may be in any encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LabelError> {
        let text: &str = &String::from_utf8_lossy(bytes);
        let (start, file) =
            required(text, START_LOCATION)?.split_once(" (file ").ok_or_else(|| bad(START_LOCATION))?;
        let start_segment: SegmentName =
            file.strip_suffix(')').and_then(parsed).ok_or_else(|| bad(START_LOCATION))?;
        // PostgreSQL refuses to recover from a label that contradicts itself.
        let start_timeline = optional(text, START_TIMELINE)?.unwrap_or(start_segment.timeline());
        if start_timeline != start_segment.timeline() {
            return Err(bad(START_TIMELINE));
        }
        Ok(Self {
            bytes: bytes.to_owned(),
            text: text.to_owned(),
            start_lsn: parsed(start).ok_or_else(|| bad(START_LOCATION))?,
            start_segment,
            start_timeline,
            checkpoint_lsn: parsed(required(text, CHECKPOINT_LOCATION)?)
                .ok_or_else(|| bad(CHECKPOINT_LOCATION))?,
            incremental_from: optional(text, INCREMENTAL_LSN)?.zip(optional(text, INCREMENTAL_TIMELINE)?),
        })
    }

    /// Returns where recovery begins to read WAL.
    pub fn start_lsn(&self) -> Lsn {
        self.start_lsn
    }

    /// Returns the segment that contains [`start_lsn`](Self::start_lsn): the first one that recovery needs.
    pub fn start_segment(&self) -> SegmentName {
        self.start_segment
    }

    /// Returns the timeline on which the backup starts. PostgreSQL 10 and older give it only by the start segment.
    pub fn start_timeline(&self) -> Timeline {
        self.start_timeline
    }

    /// Returns the position of the checkpoint record from which the backup starts.
    pub fn checkpoint_lsn(&self) -> Lsn {
        self.checkpoint_lsn
    }

    /// Returns the label that the backup was given.
    pub fn label(&self) -> Option<&str> {
        line(&self.text, "LABEL")
    }

    /// Returns when the backup started, by the server's clock, as `2013-08-28 18:10:42 UTC`, in the zone of its
    /// `log_timezone`.
    pub fn start_time(&self) -> Option<&str> {
        line(&self.text, "START TIME")
    }

    /// Returns the moment of [`start_time`](Self::start_time). If the zone is an abbreviation, which defines no offset,
    /// the moment is the one that fits `near`, a time within the same hour by the server's clock.
    pub fn start_moment(&self, near: Timestamp) -> Option<Timestamp> {
        moment(self.start_time()?, near)
    }

    /// Returns `primary` (until PostgreSQL 14 `master`) or `standby`; `None` before PostgreSQL 9.2.
    pub fn backup_from(&self) -> Option<&str> {
        line(&self.text, "BACKUP FROM")
    }

    /// Returns where the backup starts that this incremental one builds on; `None` for a full backup.
    pub fn incremental_from(&self) -> Option<(Lsn, Timeline)> {
        self.incremental_from
    }

    /// Returns the label for the complete cluster that is combined from an incremental backup and those it builds on:
    /// without the lines with which PostgreSQL refuses to start.
    #[must_use]
    pub fn combined(&self) -> Vec<u8> {
        let is_kept = |line: &&[u8]| {
            [INCREMENTAL_LSN, INCREMENTAL_TIMELINE]
                .iter()
                .all(|name| line.strip_prefix(name.as_bytes()).is_none_or(|value| !value.starts_with(b": ")))
        };
        self.bytes.split_inclusive(|byte| *byte == b'\n').filter(is_kept).flatten().copied().collect()
    }

    /// Returns the text, with replacement characters for bytes that aren't UTF-8.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns what the server wrote, unchanged.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Display for BackupLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

const START_LOCATION: &str = "START WAL LOCATION";
const CHECKPOINT_LOCATION: &str = "CHECKPOINT LOCATION";
const START_TIMELINE: &str = "START TIMELINE";
const INCREMENTAL_LSN: &str = "INCREMENTAL FROM LSN";
const INCREMENTAL_TIMELINE: &str = "INCREMENTAL FROM TLI";

/// Returns what follows `name: ` in the first line that begins so.
fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn required<'a>(text: &'a str, name: &'static str) -> Result<&'a str, LabelError> {
    line(text, name).ok_or(LabelError { name, problem: "lacks the line" })
}

/// Parses the value of a line, which may be missing but must not be invalid.
fn optional<T: std::str::FromStr>(text: &str, name: &'static str) -> Result<Option<T>, LabelError> {
    line(text, name).map(|value| parsed(value).ok_or_else(|| bad(name))).transpose()
}

fn parsed<T: std::str::FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn bad(name: &'static str) -> LabelError {
    LabelError { name, problem: "has an unreadable value in the line" }
}

/// The text isn't a backup label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the backup label {problem} '{name}'; without it the backup can't be restored: take a new one")]
pub struct LabelError {
    name: &'static str,
    problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../tests/data/backup_label");
    const OF_9_1: &str = "START WAL LOCATION: 0/5C000020 (file 0000000A000000000000005C)\n\
        CHECKPOINT LOCATION: 0/5C000058\n\
        BACKUP METHOD: streamed\n\
        START TIME: 2013-08-28 18:10:42 UTC\n\
        LABEL: nightly: db1\n";

    #[test]
    fn a_label_written_by_postgresql_15_is_read() {
        let label = BackupLabel::parse(GOLDEN).unwrap();
        assert_eq!(label.start_lsn(), Lsn(0x200_0028));
        assert_eq!(label.start_segment().to_string(), "000000010000000000000002");
        assert_eq!(label.start_timeline(), Timeline::FIRST);
        assert!(label.checkpoint_lsn() > label.start_lsn());
        assert_eq!(label.label(), Some("golden: a label"));
        assert_eq!(label.backup_from(), Some("primary"));
        assert!(label.start_time().unwrap().ends_with(" UTC"));
        assert_eq!(label.incremental_from(), None);
    }

    #[test]
    fn a_label_gives_back_its_text_unchanged() {
        for text in [GOLDEN, OF_9_1, &format!("{GOLDEN}SOMETHING NEW: 1\r\n\n")] {
            let label = BackupLabel::parse(text).unwrap();
            assert_eq!(label.as_str(), text);
            assert_eq!(label.to_string(), text);
        }
    }

    #[test]
    fn a_label_in_another_encoding_is_read_and_given_back_unchanged() {
        let bytes = [OF_9_1.trim_end().as_bytes(), b" caf\xe9\n"].concat();
        let label = BackupLabel::from_bytes(&bytes).unwrap();
        assert_eq!(label.as_bytes(), bytes);
        assert_eq!(label.label(), Some("nightly: db1 caf\u{fffd}"));
    }

    #[test]
    fn an_old_label_takes_the_timeline_of_its_segment() {
        let label = BackupLabel::parse(OF_9_1).unwrap();
        assert_eq!(label.start_timeline().get(), 10);
        assert_eq!(label.label(), Some("nightly: db1"));
        assert_eq!(label.backup_from(), None);
    }

    #[test]
    fn an_incremental_backup_says_what_it_builds_on() {
        let text =
            format!("{OF_9_1}START TIMELINE: 10\nINCREMENTAL FROM LSN: 0/4000028\nINCREMENTAL FROM TLI: 9\n");
        let label = BackupLabel::parse(&text).unwrap();
        assert_eq!(label.start_timeline().get(), 10);
        assert_eq!(label.incremental_from(), Some((Lsn(0x400_0028), Timeline::new(9).unwrap())));
        assert_eq!(label.combined(), format!("{OF_9_1}START TIMELINE: 10\n").into_bytes());
        assert_eq!(BackupLabel::parse(GOLDEN).unwrap().combined(), GOLDEN.as_bytes());
    }

    #[test]
    fn a_missing_or_damaged_line_is_named() {
        for (from, to, name) in [
            ("START WAL LOCATION", "START LOCATION", "lacks the line 'START WAL LOCATION'"),
            ("(file", "(", "unreadable value in the line 'START WAL LOCATION'"),
            ("005C)", "05C)", "unreadable value in the line 'START WAL LOCATION'"),
            ("0/5C000020", "5C000020", "unreadable value in the line 'START WAL LOCATION'"),
            ("CHECKPOINT", "POINT", "lacks the line 'CHECKPOINT LOCATION'"),
            ("0/5C000058", "0/", "unreadable value in the line 'CHECKPOINT LOCATION'"),
            ("LABEL: nightly: db1", "START TIMELINE: 11", "unreadable value in the line 'START TIMELINE'"),
            ("LABEL: ", "START TIMELINE: ", "unreadable value in the line 'START TIMELINE'"),
        ] {
            let message = BackupLabel::parse(&OF_9_1.replace(from, to)).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
