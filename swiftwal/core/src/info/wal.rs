//! The WAL of each timeline, and its holes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use swiftwal_postgres::{SegmentName, Timeline, WalName};

use super::{
    continuity::{Absent, Way, follows},
    report::{Hole, TimelineInfo},
};
use crate::repository::{gap::WalGap, inventory::Inventory, record::BackupRecord, timelines::Timelines};

/// What is known about the WAL.
pub(super) struct Wal<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) timelines: &'a Timelines,
    pub(super) records: &'a [&'a BackupRecord],
    pub(super) gaps: &'a [WalGap],
}

impl Wal<'_> {
    /// Describes every timeline, in order.
    pub(super) fn timelines(&self) -> Vec<TimelineInfo> {
        let mut holes = self.holes();
        let mut described: Vec<_> =
            self.timelines.all().into_iter().map(|timeline| self.describe(timeline)).collect();
        for timeline in &mut described {
            timeline.holes = holes.remove(&timeline.timeline).unwrap_or_default();
        }
        described
    }

    fn describe(&self, timeline: Timeline) -> TimelineInfo {
        let branch = self.timelines.branch(timeline);
        let segments = &self.timelines.segments;
        let begin = segments.partition_point(|segment| segment.name.timeline() < timeline);
        let end = segments.partition_point(|segment| segment.name.timeline() <= timeline);
        let files = self.inventory.wal.iter().filter(|wal| wal.name.timeline() == timeline);
        TimelineInfo {
            timeline,
            parent: branch.parent,
            branched_off_at: branch.branched_off_at,
            history_is_damaged: branch.history_is_damaged,
            first_wal: segments[begin..end].first().map(|segment| segment.name),
            last_wal: branch.last_wal,
            segments: (end - begin) as u64,
            stored_bytes: files.map(|wal| wal.bytes).sum(),
            last_stored: branch.last_wal_stored,
            partial_stored: self.partial_stored(timeline, branch.last_wal),
            holes: Vec::new(),
        }
    }

    /// Returns when the segment behind the last one was stored incompletely, if it was.
    fn partial_stored(&self, timeline: Timeline, last: Option<SegmentName>) -> Option<Timestamp> {
        let partial = |name| match name {
            WalName::Partial(segment) if segment.timeline() == timeline => Some(segment),
            _ => None,
        };
        let partials = self.inventory.wal.iter().filter_map(|wal| Some((partial(wal.name)?, wal.stored)));
        let size = self.timelines.segment_size;
        let newer = partials.filter(|(segment, _)| last.is_none_or(|last| follows(last, *segment, size)));
        newer.map(|(_, stored)| stored).max()
    }

    /// Returns the holes of each timeline, in order.
    fn holes(&self) -> BTreeMap<Timeline, Vec<Hole>> {
        let tips = self.timelines.tips().into_iter();
        let absent: BTreeSet<Absent> = tips
            .flat_map(|tip| Way::to(self.timelines, tip).absent().collect::<Vec<_>>())
            .filter(|absent| !self.was_pruned(absent))
            .collect();
        let mut holes: Vec<_> = absent.into_iter().map(|absent| self.hole(absent)).collect();
        let is_new = |gap: &&WalGap| !holes.iter().any(|hole| contains(gap, hole)) && self.matters(gap);
        let recorded: Vec<_> = self.gaps.iter().filter(is_new).map(recorded).collect();
        holes.extend(recorded);
        holes.sort_by_key(|hole| (hole.first_wal, hole.last_wal));
        let mut by_timeline: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for hole in holes {
            by_timeline.entry(hole.first_wal.timeline()).or_default().push(hole);
        }
        by_timeline
    }

    /// Whether exactly the WAL between two backups is missing: prune removes it if WAL is kept for a shorter time than
    /// backups.
    fn was_pruned(&self, absent: &Absent) -> bool {
        let size = self.timelines.segment_size;
        self.records.iter().any(|record| follows(record.last_wal, absent.first, size))
            && self.records.iter().any(|record| follows(absent.last, record.first_wal, size))
    }

    fn hole(&self, Absent { first, last, segments }: Absent) -> Hole {
        let hole = Hole { first_wal: first, last_wal: last, segments: Some(segments), noticed: None };
        let noticed = self.gaps.iter().find(|gap| contains(gap, &hole)).map(|gap| gap.noticed);
        Hole { noticed, ..hole }
    }

    /// Whether a backup was taken before the gap's end, so that recovery from it can't go on past the gap.
    fn matters(&self, gap: &WalGap) -> bool {
        self.records.iter().any(|record| record.first_wal.position() <= gap.last_wal.position())
    }
}

/// Whether a hole is part of a gap.
fn contains(gap: &WalGap, hole: &Hole) -> bool {
    gap.first_wal <= hole.first_wal && hole.last_wal <= gap.last_wal
}

fn recorded(gap: &WalGap) -> Hole {
    let WalGap { first_wal, last_wal, noticed, .. } = *gap;
    Hole { first_wal, last_wal, segments: gap.segments(), noticed: Some(noticed) }
}
