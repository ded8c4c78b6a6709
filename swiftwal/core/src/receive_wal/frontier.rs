//! Where to receive WAL from: the end of what is stored without a gap.
//!
//! WAL that the server still keeps is never passed over, even if a newer backup doesn't need it.
//!
//! It is looked for in the past of the server's timeline only. After a promotion that is below the branch point, however
//! much of the old timeline is stored behind it.

use std::collections::BTreeSet;

use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, TimelineHistory, WalName};

use crate::{
    error::Result,
    repository::{Repository, completeness::is_archived, inventory::Inventory, timelines::read_all},
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
    /// Reads what the repository has, which may be nothing, and adds the complete segments of the spool.
    pub(super) async fn read(
        repository: &Repository,
        past: TimelineHistory,
        size: SegmentSize,
        spooled: &[SegmentName],
    ) -> Result<Self> {
        let inventory = repository.list().await?.unwrap_or_default();
        let newest_backup = newest_backup(repository, &inventory, &past).await?;
        let listed = inventory.wal.iter().filter_map(|wal| match wal.name {
            WalName::Segment(segment) => Some(segment),
            _ => None,
        });
        let segments = listed.chain(spooled.iter().copied()).collect();
        Ok(Self { segments, past, size, newest_backup })
    }

    /// Returns the end of the stored WAL without a gap. It begins at the newest backup, or else at the oldest stored
    /// segment; but before that with what the server's slot keeps, from `kept` on, since that isn't stored yet. None if
    /// nothing shows where it begins.
    ///
    /// The slot tells which WAL may be missing only if it was advanced as WAL was stored, which the segment before it shows.
    /// Otherwise every gap counts from the oldest stored segment on, as if it weren't known what the slot keeps: a slot that
    /// was just created begins behind WAL that the server may still have, also if the receiver that created it has ended
    /// before it stored anything.
    pub(super) async fn frontier(
        &mut self,
        repository: &Repository,
        kept: Option<Lsn>,
        is_new: bool,
    ) -> Result<Option<Lsn>> {
        let is_trusted = match kept {
            Some(kept) if !is_new => self.is_stored_before(repository, kept).await?,
            _ => false,
        };
        let oldest = self.next_stored(Lsn(0)).filter(|_| !is_trusted || self.newest_backup.is_none());
        match [kept, self.newest_backup, oldest].into_iter().flatten().min() {
            Some(start) => self.end_of_run(repository, start).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether the segment that ends at `lsn`, its edge, is stored.
    async fn is_stored_before(&self, repository: &Repository, lsn: Lsn) -> Result<bool> {
        let Some(start) = lsn.0.checked_sub(self.size.bytes()) else { return Ok(false) };
        let segment = segment_at(&self.past, Lsn(start), self.size);
        Ok(self.segments.contains(&segment) || is_archived(repository, segment).await?)
    }

    /// Returns the end of the stored WAL that begins with the segment at `start`: its own beginning if it isn't stored. The
    /// repository is asked for the segment there, since listings may lack what was stored last.
    pub(super) async fn end_of_run(&mut self, repository: &Repository, start: Lsn) -> Result<Lsn> {
        loop {
            let end = self.end_of_listed_run(start);
            let segment = segment_at(&self.past, end, self.size);
            if !is_archived(repository, segment).await? {
                return Ok(end);
            }
            self.segments.insert(segment);
        }
    }

    /// Whether the newest backup needs no WAL from before `lsn`.
    pub(super) fn has_backup_from(&self, lsn: Lsn) -> bool {
        self.newest_backup.is_some_and(|start| start >= lsn)
    }

    fn end_of_listed_run(&self, start: Lsn) -> Lsn {
        let mut end = segment_start(start, self.size);
        while self.segments.contains(&segment_at(&self.past, end, self.size)) {
            end = Lsn(end.0 + self.size.bytes());
        }
        end
    }

    /// Returns where the first stored segment of the past begins, at or behind `lsn`.
    pub(super) fn next_stored(&self, lsn: Lsn) -> Option<Lsn> {
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
    use std::sync::Arc;

    use futures::FutureExt;
    use object_store::{PutMode, PutPayload, memory::InMemory};
    use swiftwal_compression::Format;
    use swiftwal_postgres::Timeline;

    use super::*;
    use crate::{local::clock::SystemClock, repository::layout::ObjectName, storage::Storage};

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

    fn repository() -> Repository {
        Repository::new(Storage::new(Arc::new(InMemory::new())), "memory", Arc::new(SystemClock))
    }

    /// Returns the frontier of what `past` lists, in a repository that has nothing else.
    fn frontier(mut past: StoredPast, kept: Option<u64>) -> Option<Lsn> {
        let repository = repository();
        past.frontier(&repository, kept.map(at), false).now_or_never().unwrap().unwrap()
    }

    #[test]
    fn the_frontier_lies_below_the_branch_point_whatever_is_stored_of_the_old_timeline() {
        let old = [(1, 2), (1, 3), (1, 4), (1, 5), (1, 6), (1, 7)];
        assert_eq!(frontier(past(&old, None), None), Some(at(4)));
        let both = [&old[..], &[(2, 4), (2, 5), (2, 6)]].concat();
        assert_eq!(frontier(past(&both, None), None), Some(at(6)));
        let all = [&both[..], &[(3, 6)]].concat();
        assert_eq!(frontier(past(&all, None), None), Some(at(7)));
    }

    #[test]
    fn wal_before_a_newer_backup_is_received_if_the_slot_keeps_it() {
        let stored = [(1, 1), (1, 2), (1, 3)];
        let from = |kept| frontier(past(&stored, Some(5)), kept);
        assert_eq!(from(Some(4)), Some(at(4)));
        assert_eq!(from(Some(2)), Some(at(4)));
        // It isn't known what it keeps.
        assert_eq!(from(None), Some(at(4)));
        assert_eq!(frontier(past(&[], None), Some(9)), Some(at(9)));
    }

    #[test]
    fn a_gap_ends_it_unless_a_newer_backup_needs_nothing_before_it_and_the_slot_keeps_nothing_of_it() {
        let with_gap = [(1, 1), (1, 3), (2, 5), (3, 8)];
        assert_eq!(frontier(past(&with_gap, None), Some(9)), Some(at(2)));
        assert_eq!(frontier(past(&with_gap, Some(1)), Some(9)), Some(at(2)));
        assert_eq!(frontier(past(&with_gap, Some(3)), Some(9)), Some(at(4)));
        assert_eq!(frontier(past(&with_gap, Some(3)), Some(2)), Some(at(2)));
        assert_eq!(frontier(past(&with_gap, Some(3)), None), Some(at(2)));
        // The slot was created, and nothing was stored since.
        assert_eq!(frontier(past(&with_gap, Some(3)), Some(8)), Some(at(2)));
        assert_eq!(frontier(past(&with_gap[..3], Some(9)), Some(9)), Some(at(2)));
        let is_new = past(&with_gap, Some(3)).frontier(&repository(), Some(at(9)), true).now_or_never();
        assert_eq!(is_new.unwrap().unwrap(), Some(at(2)));
        let with_backup = past(&with_gap, Some(3));
        assert!(with_backup.has_backup_from(at(3)) && !with_backup.has_backup_from(at(4)));
    }

    #[test]
    fn it_is_unknown_without_wal_or_a_backup_of_the_past() {
        assert_eq!(frontier(past(&[], None), None), None);
        assert_eq!(frontier(past(&[(4, 1), (1, 5)], None), None), None);
        assert_eq!(frontier(past(&[], Some(7)), None), Some(at(7)));
    }

    #[tokio::test]
    async fn segments_that_the_listing_lacks_are_stored_all_the_same() {
        let repository = repository();
        for number in [2, 3, 5] {
            let name = WalName::Segment(SegmentName::containing(
                Timeline::FIRST,
                at(number),
                SegmentSize::default(),
            ));
            let object = ObjectName::Wal { name, format: Format::Zstd };
            repository.put(&object, PutPayload::from_static(b"WAL"), PutMode::Create).await.unwrap();
        }
        let mut listed = past(&[(1, 1)], None);
        assert_eq!(listed.frontier(&repository, None, false).await.unwrap(), Some(at(4)));
        assert_eq!(listed.end_of_run(&repository, at(2)).await.unwrap(), at(4));
        assert_eq!(listed.end_of_run(&repository, at(4)).await.unwrap(), at(4));
    }
}
