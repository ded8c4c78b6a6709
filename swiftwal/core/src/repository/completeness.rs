//! Checks that a backup is complete: its objects, and the WAL that it needs to become consistent.
//!
//! Each of them is requested. A listing proves nothing: if it lags and shows deleted objects, prune would remove the
//! last complete backup and keep an incomplete one.

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

/// How many objects or segments are requested at a time.
const LOOKS: usize = 16;

/// Returns the first of the `needed` objects of `record` that is missing or has another size.
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

/// Returns the first missing segment that the backup of `record` needs to become consistent.
pub(crate) async fn needed_and_missing(
    repository: &Repository,
    record: &BackupRecord,
) -> Result<Option<SegmentName>> {
    missing_of(repository, needed_by(record), WalName::Segment).try_next().await
}

/// Returns the segments that the backup needs to become consistent, in order: none if they are in the backup itself.
pub(crate) fn needed_by(record: &BackupRecord) -> impl Iterator<Item = SegmentName> + Send + use<> {
    let is_inside = record.includes_wal;
    segments_between(record.timeline, record.start_lsn, record.stop_lsn, record.wal_segment_bytes)
        .take_while(move |_| !is_inside)
}

/// Returns the missing ones of `files`, in order. `name` is the name of each.
pub(crate) fn missing_of<'a, F: Copy + Send + 'a>(
    repository: &'a Repository,
    files: impl Iterator<Item = F> + Send + 'a,
    name: fn(F) -> WalName,
) -> BoxStream<'a, Result<F>> {
    let looks = files.map(move |file| async move {
        let found = repository.wal_format(name(file)).await?;
        Ok(found.is_none().then_some(file))
    });
    stream::iter(looks).buffered(LOOKS).try_filter_map(|missing| async move { Ok(missing) }).boxed()
}

pub(crate) async fn is_archived(repository: &Repository, segment: SegmentName) -> Result<bool> {
    Ok(repository.wal_format(WalName::Segment(segment)).await?.is_some())
}
