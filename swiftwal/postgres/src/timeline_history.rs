//! Timeline histories: where a timeline branched off.

use crate::{Lsn, SegmentName, SegmentSize, Timeline};

/// How much of a line an error shows.
const SHOWN_BYTES: usize = 80;

/// A timeline and those that it branched off from, according to its history file.
///
/// Source: `readTimeLineHistory` in PostgreSQL's `src/backend/access/transam/timeline.c`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineHistory {
    timeline: Timeline,
    ancestors: Vec<Ancestor>,
}

/// A timeline that another one descends from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ancestor {
    /// The ancestor.
    pub timeline: Timeline,
    /// Where it was left: the first LSN that no longer belongs to the descendant's past.
    pub switchpoint: Lsn,
}

impl TimelineHistory {
    /// Creates the history of a timeline without ancestors: the first one, or one whose history file doesn't exist,
    /// which PostgreSQL treats in the same way.
    #[must_use]
    pub fn without_ancestors(timeline: Timeline) -> Self {
        Self { timeline, ancestors: Vec::new() }
    }

    /// Parses the content of the history file of `timeline`. An empty file means a timeline without ancestors.
    ///
    /// Each line contains the ancestor's number, the switchpoint and a reason, separated by white space. Lines may be
    /// empty or begin with `#`. The reason may be in any encoding: it may contain the name of a restore point as a
    /// client sent it. PostgreSQL 9.2 and older give, instead of the switchpoint, the segment that contains it; then
    /// the end of that segment is used, with their default segment size.
    pub fn parse(timeline: Timeline, content: &[u8]) -> Result<Self, HistoryError> {
        let mut ancestors: Vec<Ancestor> = Vec::new();
        for (line, number) in content.split(|byte| *byte == b'\n').zip(1..) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let error = |problem| HistoryError { timeline, number, line: shown(line), problem };
            let ancestor = parse_line(line).map_err(error)?;
            if ancestors.last().is_some_and(|last| last.timeline >= ancestor.timeline) {
                return Err(error("its timeline isn't above that of the line before"));
            }
            if ancestor.timeline >= timeline {
                return Err(error("its timeline isn't below the one that descends from it"));
            }
            ancestors.push(ancestor);
        }
        Ok(Self { timeline, ancestors })
    }

    /// Returns the timeline whose history this is.
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Returns the timelines that it descends from, oldest first.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// Whether the byte at `lsn`, written on `timeline`, belongs to this timeline's past.
    ///
    /// To ask about the end of a range, which is exclusive, pass the byte before it.
    pub fn contains(&self, timeline: Timeline, lsn: Lsn) -> bool {
        let mut begin = Lsn(0);
        for ancestor in &self.ancestors {
            if ancestor.timeline == timeline {
                return begin <= lsn && lsn < ancestor.switchpoint;
            }
            begin = ancestor.switchpoint;
        }
        self.timeline == timeline && begin <= lsn
    }

    /// Returns the timeline of this one's past on which the byte at `lsn` was, or will be, written.
    pub fn timeline_at(&self, lsn: Lsn) -> Timeline {
        let ancestor = self.ancestors.iter().find(|ancestor| lsn < ancestor.switchpoint);
        ancestor.map_or(self.timeline, |ancestor| ancestor.timeline)
    }
}

fn parse_line(line: &[u8]) -> Result<Ancestor, &'static str> {
    let fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let mut fields = fields.map(|field| str::from_utf8(field).unwrap_or_default());
    let timeline =
        fields.next().and_then(|field| field.parse().ok()).ok_or("it doesn't begin with a timeline")?;
    let switchpoint = fields.next().and_then(parse_switchpoint).ok_or("its second field isn't an LSN")?;
    Ok(Ancestor { timeline, switchpoint })
}

fn parse_switchpoint(field: &str) -> Option<Lsn> {
    if let Ok(segment) = field.parse::<SegmentName>() {
        let size = SegmentSize::default();
        return segment.next(size)?.start(size);
    }
    field.parse().ok()
}

/// Returns the beginning of a line, for an error.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]).into_owned()
}

/// The content isn't the history of that timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "line {number} of the history of timeline {timeline} is not readable: {problem}: '{}'; \
     fetch {:08X}.history again from where the server keeps or archives its WAL",
    crate::printable(line),
    timeline.get()
)]
pub struct HistoryError {
    timeline: Timeline,
    number: u32,
    line: String,
    problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIRD: &[u8] = include_bytes!("../tests/data/00000003.history");

    fn timeline(number: u32) -> Timeline {
        Timeline::new(number).unwrap()
    }

    #[test]
    fn a_history_written_by_postgresql_names_its_ancestors_oldest_first() {
        let history = TimelineHistory::parse(timeline(3), THIRD).unwrap();
        assert_eq!(history.timeline(), timeline(3));
        let ancestors: Vec<_> =
            history.ancestors().iter().map(|a| (a.timeline.get(), a.switchpoint)).collect();
        assert_eq!(ancestors.len(), 2);
        assert_eq!(ancestors[0].0, 1);
        assert_eq!(ancestors[1].0, 2);
        assert!(ancestors[0].1 < ancestors[1].1);
    }

    #[test]
    fn the_past_changes_timeline_at_each_switchpoint() {
        let text = b"1\t0/5000000\tbefore 2000-01-01\n\n# a comment\n\n3\t0/7000028\n";
        let history = TimelineHistory::parse(timeline(4), text).unwrap();
        let contains = |number, lsn| history.contains(timeline(number), Lsn(lsn));
        assert!(contains(1, 0) && contains(1, 0x4FF_FFFF) && !contains(1, 0x500_0000));
        assert!(!contains(3, 0x4FF_FFFF) && contains(3, 0x500_0000) && contains(3, 0x700_0027));
        assert!(!contains(3, 0x700_0028) && !contains(4, 0x700_0027) && contains(4, 0x700_0028));
        assert!(contains(4, u64::MAX));
    }

    #[test]
    fn each_position_has_one_timeline() {
        let history = TimelineHistory::parse(timeline(4), b"1\t0/5000000\n3\t0/7000028\n").unwrap();
        let at = |lsn| history.timeline_at(Lsn(lsn)).get();
        assert_eq!([0, 0x4FF_FFFF, 0x500_0000, 0x700_0027, 0x700_0028, u64::MAX].map(at), [1, 1, 3, 3, 4, 4]);
    }

    #[test]
    fn a_timeline_that_is_no_ancestor_is_not_in_the_past() {
        let history = TimelineHistory::parse(timeline(4), b"1\t0/5000000\n3\t0/7000028\n").unwrap();
        for number in [2, 5] {
            assert!(!history.contains(timeline(number), Lsn(0x600_0000)));
        }
    }

    #[test]
    fn an_empty_history_is_a_timeline_without_ancestors() {
        let history = TimelineHistory::parse(Timeline::FIRST, b"").unwrap();
        assert_eq!(history, TimelineHistory::without_ancestors(Timeline::FIRST));
        assert!(history.ancestors().is_empty());
        assert!(history.contains(Timeline::FIRST, Lsn(0)));
    }

    #[test]
    fn a_history_of_postgresql_9_2_switches_at_the_end_of_the_segment_it_names() {
        let text = b"1\t000000010000000000000005\tbefore 2012-08-28 18:10:42.123+02\n";
        let history = TimelineHistory::parse(timeline(2), text).unwrap();
        assert_eq!(history.ancestors()[0].switchpoint, Lsn(0x600_0000));
    }

    #[test]
    fn a_line_that_is_not_readable_is_named() {
        for (text, number) in [
            ("x\t0/5000000\n", 1),
            ("0\t0/5000000\n", 1),
            ("1\n", 1),
            ("\n1\t5000000\tno reason\n", 2),
            ("2\t0/5000000\n1\t0/6000000\n", 2),
            ("1\t0/5000000\n1\t0/6000000\n", 2),
            ("1\t0/5000000\n4\t0/6000000\n", 2),
            ("<html>", 1),
        ] {
            let message = TimelineHistory::parse(timeline(4), text.as_bytes()).unwrap_err().to_string();
            assert!(message.starts_with(&format!("line {number} of the history of timeline 4")), "{message}");
        }
    }

    #[test]
    fn a_reason_in_any_encoding_is_skipped() {
        let content = b"1\t0/5000000\tat restore point \"vor der \xC4nderung\"\n";
        let history = TimelineHistory::parse(timeline(2), content).unwrap();
        assert_eq!(history.ancestors()[0].switchpoint, Lsn(0x500_0000));
    }

    #[test]
    fn an_error_shows_the_beginning_of_the_line_and_no_control_character() {
        let line = [b"\x1b[2J\xff".to_vec(), vec![b'x'; 5000]].concat();
        let message = TimelineHistory::parse(timeline(2), &line).unwrap_err().to_string();
        assert!(message.len() < 400 && !message.contains('\x1b'), "{message}");
    }
}
