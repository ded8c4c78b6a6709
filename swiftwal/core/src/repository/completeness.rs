//! Whether all of a backup is there: its objects, and the WAL without which it can't become consistent.
//!
//! The storage itself is asked for each of them. A listing proves nothing: where it lags behind, it shows what has gone,
//! and prune would remove the last complete backup for one that isn't.

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use swiftwal_postgres::{SegmentName, WalName, segments_between};

use crate::{
    error::Result,
    repository::{
        Repository,
        layout::ObjectName,
        record::{BackupRecord, RecordedObject},
    },
};

/// How many objects or segments are looked for at a time.
const LOOKS: usize = 16;

/// The first of those objects of `record` that are `needed` which isn't there with its size.
pub(crate) async fn missing_object<'a>(
    repository: &Repository,
    record: &'a BackupRecord,
    needed: fn(&RecordedObject) -> bool,
) -> Result<Option<&'a RecordedObject>> {
    let needed: Vec<_> = record.objects.iter().filter(|object| needed(object)).collect();
    let looks: Vec<_> = needed
        .into_iter()
        .map(|object| {
            async move {
                let found = repository.size(&ObjectName::parse(&object.name)).await?;
                Ok((found != Some(object.bytes)).then_some(object))
            }
            .boxed()
        })
        .collect();
    let mut missing =
        stream::iter(looks).buffered(LOOKS).try_filter_map(|missing| async move { Ok(missing) }).boxed();
    missing.try_next().await
}

/// The first segment without which `record`'s backup can't become consistent, and which isn't in the repository.
pub(crate) async fn needed_and_missing(
    repository: &Repository,
    record: &BackupRecord,
) -> Result<Option<SegmentName>> {
    missing_of(repository, needed_by(record)).try_next().await
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
