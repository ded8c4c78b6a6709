//! Where to receive WAL from: the end of what is stored without a gap.
//!
//! It is looked for in the past of the server's timeline only. After a promotion that is below the branch point, however
//! much of the old timeline is stored behind it.

use std::collections::BTreeSet;

use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, TimelineHistory, WalName};

use crate::{
    error::Result,
    repository::{Repository, inventory::Inventory, timelines::read_all},
};

/// The WAL that is stored of a server's past.
#[derive(Debug)]
pub(super) struct StoredPast {
    past: TimelineHistory,
    size: SegmentSize,
    segments: BTreeSet<SegmentName>,
    /// Where the newest backup begins.
    newest_backup: Option<Lsn>,
}

impl StoredPast {
    /// Reads what the repository has, which may be nothing, and adds the files of the spool.
    pub(super) async fn read(
        repository: &Repository,
        past: TimelineHistory,
        size: SegmentSize,
        spooled: &[WalName],
    ) -> Result<Self> {
        let inventory = repository.list().await?.unwrap_or_default();
        let newest_backup = newest_backup(repository, &inventory, &past).await?;
        let names = inventory.wal.iter().map(|wal| wal.name).chain(spooled.iter().copied());
        let segments = names.filter_map(|name| match name {
            WalName::Segment(segment) => Some(segment),
            _ => None,
        });
        Ok(Self { segments: segments.collect(), past, size, newest_backup })
    }

    /// Returns the end of the stored WAL without a gap, from the newest backup on, or else from the oldest segment on. None
    /// if nothing shows where it begins.
    pub(super) fn frontier(&self) -> Option<Lsn> {
        let start = match self.newest_backup {
            Some(start) => start,
            None => self.next_stored(Lsn(0))?,
        };
        Some(self.end_of_run(start))
    }

    /// Returns the end of the next stored WAL behind a gap that begins at `gap`, and the end of the gap. None if nothing
    /// behind it is stored.
    pub(super) fn behind(&self, gap: Lsn) -> Option<(Lsn, Lsn)> {
        let end = self.next_stored(gap)?;
        Some((end, self.end_of_run(end)))
    }

    fn end_of_run(&self, start: Lsn) -> Lsn {
        let mut end = segment_start(start, self.size);
        while self.segments.contains(&segment_at(&self.past, end, self.size)) {
            end = Lsn(end.0 + self.size.bytes());
        }
        end
    }

    /// Returns where the first stored segment of the past begins, at or behind `lsn`.
    fn next_stored(&self, lsn: Lsn) -> Option<Lsn> {
        let is_in_past = |segment: &&SegmentName| {
            let start = segment.start(self.size);
            start.is_some_and(|start| **segment == segment_at(&self.past, start, self.size))
        };
        let starts = self.segments.iter().filter(is_in_past).filter_map(|segment| segment.start(self.size));
        starts.filter(|start| *start >= lsn).min()
    }
}

/// Returns where the newest backup in the past begins.
async fn newest_backup(
    repository: &Repository,
    inventory: &Inventory,
    past: &TimelineHistory,
) -> Result<Option<Lsn>> {
    let backups = read_all(repository, inventory).await?;
    let positions = backups.iter().filter_map(|backup| backup.position);
    let in_past = positions.filter(|position| past.contains(position.timeline, position.last));
    Ok(in_past.map(|position| position.start).max())
}

/// Returns the segment that recovery along `past` reads at `start`, its first byte: that of the timeline on which it ends,
/// since it begins with a copy of the older one's.
pub(super) fn segment_at(past: &TimelineHistory, start: Lsn, size: SegmentSize) -> SegmentName {
    let last = Lsn(start.0.saturating_add(size.bytes() - 1));
    SegmentName::containing(past.timeline_at(last), start, size)
}

/// Returns where the segment that contains `lsn` begins.
pub(super) fn segment_start(lsn: Lsn, size: SegmentSize) -> Lsn {
    Lsn(lsn.0 - lsn.0 % size.bytes())
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::Timeline;

    use super::*;

    /// The stored past of timeline 3, which branched off 2 in segment 6, and that off 1 in segment 4.
    fn past(segments: &[(u32, u64)], newest_backup: Option<u64>) -> StoredPast {
        let size = SegmentSize::default();
        let text = b"1\t0/4000100\tnone\n2\t0/6000100\tnone\n";
        let name = |(timeline, number): &(u32, u64)| {
            SegmentName::containing(Timeline::new(*timeline).unwrap(), at(*number), size)
        };
        StoredPast {
            past: TimelineHistory::parse(Timeline::new(3).unwrap(), text).unwrap(),
            size,
            segments: segments.iter().map(name).collect(),
            newest_backup: newest_backup.map(at),
        }
    }

    fn at(number: u64) -> Lsn {
        Lsn(number << 24)
    }

    #[test]
    fn the_frontier_lies_below_the_branch_point_whatever_is_stored_of_the_old_timeline() {
        let old = [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7)];
        assert_eq!(past(&old, None).frontier(), Some(at(4)));
        let both = [&old[..], &[(2, 4), (2, 5), (2, 6)]].concat();
        assert_eq!(past(&both, None).frontier(), Some(at(6)));
        let all = [&both[..], &[(3, 6)]].concat();
        assert_eq!(past(&all, None).frontier(), Some(at(7)));
    }

    #[test]
    fn a_gap_ends_it_unless_a_newer_backup_needs_nothing_before_it() {
        let with_gap = [(1, 1), (1, 3), (2, 5)];
        assert_eq!(past(&with_gap, None).frontier(), Some(at(2)));
        assert_eq!(past(&with_gap, Some(1)).frontier(), Some(at(2)));
        assert_eq!(past(&with_gap, Some(3)).frontier(), Some(at(4)));
        assert_eq!(past(&with_gap, None).behind(at(2)), Some((at(3), at(4))));
        assert_eq!(past(&with_gap, None).behind(at(4)), Some((at(5), at(6))));
        assert_eq!(past(&with_gap, None).behind(at(6)), None);
    }

    #[test]
    fn it_is_unknown_without_wal_or_a_backup_of_the_past() {
        assert_eq!(past(&[], None).frontier(), None);
        assert_eq!(past(&[(4, 1), (1, 5)], None).frontier(), None);
        assert_eq!(past(&[], Some(7)).frontier(), Some(at(7)));
    }
}
