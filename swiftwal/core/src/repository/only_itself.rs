//! Backups from which recovery can reach nothing but their own end, since the WAL after it was removed or is missing.

use std::collections::BTreeSet;

use swiftwal_postgres::{Lsn, SegmentName, Timeline};

use crate::{
    error::Result,
    repository::{
        Repository, history::Histories, inventory::Inventory, key::BackupKey, record::BackupRecord,
    },
};

/// Returns those of the backups from which recovery can't go beyond their own end: later WAL is stored, and that which
/// comes next isn't.
///
/// # Errors
///
/// Those of the storage.
pub async fn only_themselves(
    repository: &Repository,
    inventory: &Inventory,
    records: impl Iterator<Item = &BackupRecord> + Send,
) -> Result<BTreeSet<BackupKey>> {
    let histories = Histories::listed(repository, inventory).await?;
    let segments: Vec<_> = inventory.wal.iter().filter_map(|wal| wal.name.segment()).collect();
    Ok(records.filter(|record| is_alone(record, &segments, &histories)).map(|record| record.key).collect())
}

fn is_alone(record: &BackupRecord, segments: &[SegmentName], histories: &Histories) -> bool {
    let Some(next) = record.last_wal.next(record.wal_segment_bytes) else { return false };
    let last = Lsn(record.stop_lsn.0.saturating_sub(1));
    let descends = |timeline: Timeline| {
        timeline == record.timeline
            || histories.get(timeline).is_some_and(|history| history.contains(record.timeline, last))
    };
    let mut later = segments
        .iter()
        .filter(|segment| segment.position() >= record.last_wal.position() && descends(segment.timeline()));
    // A timeline that branched off in the last segment continues in its own copy of that.
    let continues = |segment: &&SegmentName| {
        segment.position() == next.position()
            || (segment.position() == record.last_wal.position() && segment.timeline() != record.timeline)
    };
    let is_beyond = |segment: &&SegmentName| segment.position() > next.position();
    later.clone().any(|segment| is_beyond(&segment)) && !later.any(|segment| continues(&segment))
}
