//! Whether all of a backup is there: its objects, and the WAL without which it can't become consistent.

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use swiftwal_postgres::{SegmentName, WalName, segments_between};

use crate::{
    error::Result,
    repository::{
        Repository,
        inventory::Inventory,
        layout::ObjectName,
        record::{BackupRecord, RecordedObject},
    },
};

/// How many segments are looked for at a time.
const LOOKS: usize = 16;

/// The first of those objects of `record` that are `needed` which isn't there with its size.
///
/// A listing may lag behind, the object itself doesn't: so it is asked for what isn't listed.
pub(crate) async fn missing_object<'a>(
    repository: &Repository,
    inventory: &Inventory,
    record: &'a BackupRecord,
    needed: fn(&RecordedObject) -> bool,
) -> Result<Option<&'a RecordedObject>> {
    let stored = inventory.backups.iter().find(|backup| backup.key == record.key);
    let stored = stored.map_or(&[][..], |backup| &backup.objects);
    let is_listed = |object: &RecordedObject| {
        stored.iter().any(|stored| stored.bytes == object.bytes && stored.name.to_string() == object.name)
    };
    for object in record.objects.iter().filter(|object| needed(object) && !is_listed(object)) {
        if repository.size(&ObjectName::parse(&object.name)).await? != Some(object.bytes) {
            return Ok(Some(object));
        }
    }
    Ok(None)
}

/// The first segment without which `record`'s backup can't become consistent, and which isn't in the repository.
pub(crate) async fn needed_and_missing(
    repository: &Repository,
    record: &BackupRecord,
) -> Result<Option<SegmentName>> {
    missing_of(repository, needed_by(record)).try_next().await
}

/// As above, with a listing: an object in it exists, and only the others are asked for in the storage.
pub(crate) async fn needed_and_unlisted(
    repository: &Repository,
    record: &BackupRecord,
    inventory: &Inventory,
) -> Result<Option<SegmentName>> {
    let unlisted = needed_by(record).filter(|segment| !inventory.has_wal(WalName::Segment(*segment)));
    missing_of(repository, unlisted).try_next().await
}

/// None where the WAL is inside.
pub(crate) fn needed_by(record: &BackupRecord) -> impl Iterator<Item = SegmentName> + Send + use<> {
    let is_inside = record.includes_wal;
    segments_between(record.timeline, record.start_lsn, record.stop_lsn, record.wal_segment_bytes)
        .take_while(move |_| !is_inside)
}

/// Those of `segments` that weren't there when they were looked for, in order.
pub(crate) fn missing_of<'a>(
    repository: &'a Repository,
    segments: impl Iterator<Item = SegmentName> + Send + 'a,
) -> BoxStream<'a, Result<SegmentName>> {
    let looks = segments.map(move |segment| async move {
        let archived = is_archived(repository, segment).await?;
        Ok((!archived).then_some(segment))
    });
    stream::iter(looks).buffered(LOOKS).try_filter_map(|missing| async move { Ok(missing) }).boxed()
}

pub(crate) async fn is_archived(repository: &Repository, segment: SegmentName) -> Result<bool> {
    Ok(repository.wal_format(WalName::Segment(segment)).await?.is_some())
}
