//! The WAL on the way to the end of a timeline: where it is continuous, and where it has holes.

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, Timeline, TimelineHistory};

use crate::repository::timelines::{Segment, Timelines};

/// The stored segments that recovery to the end of a timeline reads, by position in the WAL, in pieces without a hole.
pub(super) struct Way {
    past: TimelineHistory,
    size: SegmentSize,
    pieces: Vec<Piece>,
}

/// Continuous WAL.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) first: SegmentName,
    pub(super) last: SegmentName,
    /// When the last segment was stored.
    pub(super) last_stored: Timestamp,
}

/// Missing segments of one timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Absent {
    pub(super) first: SegmentName,
    pub(super) last: SegmentName,
    pub(super) segments: u64,
}

impl Way {
    /// Returns the way to the end of `timeline`. If its history can't be read, it has no ancestors here.
    pub(super) fn to(timelines: &Timelines, timeline: Timeline) -> Self {
        let past = timelines.histories.past_of(timeline);
        let past = past.unwrap_or_else(|_| TimelineHistory::without_ancestors(timeline));
        let size = timelines.segment_size;
        let mut pieces: Vec<Piece> = Vec::new();
        for segment in on_the_way(&timelines.segments, &past, size) {
            let piece = Piece { first: segment.name, last: segment.name, last_stored: segment.stored };
            match pieces.last_mut() {
                Some(before) if follows(before.last, segment.name, size) => {
                    *before = Piece { first: before.first, ..piece };
                }
                _ => pieces.push(piece),
            }
        }
        Self { past, size, pieces }
    }

    /// Returns the timeline to whose end it leads.
    pub(super) fn timeline(&self) -> Timeline {
        self.past.timeline()
    }

    /// Returns the pieces, in order.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Returns what is missing between the pieces.
    pub(super) fn absent(&self) -> impl Iterator<Item = Absent> {
        self.pieces.windows(2).flat_map(|pair| self.between(pair[0].last, pair[1].first))
    }

    /// Returns the missing segments of each timeline between two stored ones.
    fn between(&self, before: SegmentName, after: SegmentName) -> Vec<Absent> {
        let mut absent: Vec<Absent> = Vec::new();
        let timelines = self.past.ancestors().iter().map(|ancestor| ancestor.timeline);
        for timeline in timelines.chain([self.past.timeline()]) {
            let Some((begin, end)) = self.extent(timeline) else { continue };
            let first = before.next(self.size).map(|next| next.on_timeline(timeline));
            let last = after.previous(self.size).map(|previous| previous.on_timeline(timeline));
            let (Some(first), Some(last)) = (first, last) else { continue };
            let first = first.max(SegmentName::containing(timeline, begin, self.size));
            let last = end.map_or(last, |end| last.min(end));
            if first <= last {
                absent.push(Absent {
                    first,
                    last,
                    segments: number(last, self.size) - number(first, self.size) + 1,
                });
            }
        }
        absent
    }

    /// Returns where a timeline of this past begins, and its last segment; none for the newest one.
    fn extent(&self, timeline: Timeline) -> Option<(Lsn, Option<SegmentName>)> {
        extent(&self.past, timeline, self.size)
    }
}

impl Piece {
    /// Whether it has a segment at the position of `segment`, of whichever timeline.
    pub(super) fn covers(&self, segment: SegmentName) -> bool {
        (self.first.position()..=self.last.position()).contains(&segment.position())
    }
}

/// Whether one segment is directly behind another one, of whichever timelines.
pub(super) fn follows(before: SegmentName, segment: SegmentName, size: SegmentSize) -> bool {
    before.next(size).is_some_and(|next| next.position() == segment.position())
}

/// Returns where a timeline of `past` begins, and the last segment that recovery reads from it: the one in which the next
/// timeline begins is read from that one. None if it has no such segment, or isn't in that past.
fn extent(
    past: &TimelineHistory,
    timeline: Timeline,
    size: SegmentSize,
) -> Option<(Lsn, Option<SegmentName>)> {
    let mut begin = Lsn(0);
    for ancestor in past.ancestors() {
        if ancestor.timeline == timeline {
            let last = SegmentName::containing(timeline, ancestor.switchpoint, size).previous(size)?;
            return (last >= SegmentName::containing(timeline, begin, size)).then_some((begin, Some(last)));
        }
        begin = ancestor.switchpoint;
    }
    (past.timeline() == timeline).then_some((begin, None))
}

/// Returns the segments that recovery reads on the way, in order.
fn on_the_way<'a>(
    segments: &'a [Segment],
    past: &'a TimelineHistory,
    size: SegmentSize,
) -> impl Iterator<Item = &'a Segment> {
    let timelines = past.ancestors().iter().map(|ancestor| ancestor.timeline).chain([past.timeline()]);
    timelines.flat_map(move |timeline| {
        let Some((begin, last)) = extent(past, timeline, size) else { return &[][..] };
        let first = SegmentName::containing(timeline, begin, size);
        let begin = segments.partition_point(|segment| segment.name < first);
        let is_on = |segment: &Segment| match last {
            Some(last) => segment.name <= last,
            None => segment.name.timeline() == timeline,
        };
        let end = begin + segments[begin..].partition_point(is_on);
        &segments[begin..end]
    })
}

/// Returns the number of a segment in the WAL.
fn number(segment: SegmentName, size: SegmentSize) -> u64 {
    segment.start(size).unwrap_or(Lsn(0)).0 / size.bytes()
}
