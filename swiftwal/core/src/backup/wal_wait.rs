//! Waiting, within limits, for the WAL that makes a backup consistent.

use std::time::Duration;

use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use swiftwal_postgres::{BackupLabel, ControlFile, SegmentName, WalName, segments_between};
use tokio::time::{Instant, sleep};

use super::{BackupEvent, Observe};
use crate::{BackupRecord, Error, Inventory, Repository, Result};

/// How soon after a look without success the next one comes; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How many segments are looked for at a time.
const LOOKS: usize = 16;

/// Returns once every segment that `record` needs was seen in the repository.
///
/// # Errors
/// [`Error::TimedOut`] names the first segment that wasn't there within `limit` after all were looked for.
pub(super) async fn until_archived(
    repository: &Repository,
    record: &BackupRecord,
    limit: Duration,
    observe: Observe<'_>,
) -> Result<()> {
    let missing: Vec<_> = missing_of(repository, needed_by(record)).try_collect().await?;
    let deadline = Instant::now() + limit;
    for segment in missing {
        let mut pause = SHORTEST_PAUSE;
        while !is_archived(repository, segment).await? {
            observe(BackupEvent::WaitingForWal(segment));
            if Instant::now() >= deadline {
                return Err(missing_after(repository, segment, limit));
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(())
}

/// The first segment without which `record`'s backup can't become consistent, and which isn't in the repository.
pub(crate) async fn needed_and_missing(
    repository: &Repository,
    record: &BackupRecord,
) -> Result<Option<SegmentName>> {
    missing_of(repository, needed_by(record)).try_next().await
}

/// The same where a listing is at hand: what it shows is there, and only of the rest the storage itself is asked.
pub(crate) async fn needed_and_unlisted(
    repository: &Repository,
    record: &BackupRecord,
    inventory: &Inventory,
) -> Result<Option<SegmentName>> {
    let unlisted = needed_by(record).filter(|segment| !inventory.has_wal(WalName::Segment(*segment)));
    missing_of(repository, unlisted).try_next().await
}

/// None where the WAL is inside.
fn needed_by(record: &BackupRecord) -> impl Iterator<Item = SegmentName> + Send + use<> {
    let is_inside = record.includes_wal;
    segments_between(record.timeline, record.start_lsn, record.stop_lsn, record.wal_segment_bytes)
        .take_while(move |_| !is_inside)
}

/// What to say when the server itself has waited too long for its archiver, having sent everything else.
pub(super) async fn server_waits(
    repository: &Repository,
    label: &BackupLabel,
    control: &[u8],
    limit: Duration,
    observe: Observe<'_>,
) -> Error {
    let size = match ControlFile::parse(control) {
        Ok(control) => control.segment_size,
        Err(error) => return Error::damaged("global/pg_control", error),
    };
    let segments = std::iter::successors(Some(label.start_segment()), move |segment| segment.next(size));
    match missing_of(repository, segments).try_next().await {
        Ok(Some(segment)) => {
            observe(BackupEvent::WaitingForWal(segment));
            missing_after(repository, segment, limit)
        }
        Ok(None) => Error::TimedOut("PostgreSQL has no more WAL positions to give".to_owned()),
        Err(error) => error,
    }
}

/// Those of `segments` that weren't there when they were looked for, in order.
fn missing_of<'a>(
    repository: &'a Repository,
    segments: impl Iterator<Item = SegmentName> + Send + 'a,
) -> BoxStream<'a, Result<SegmentName>> {
    let looks = segments.map(move |segment| async move {
        let archived = is_archived(repository, segment).await?;
        Ok((!archived).then_some(segment))
    });
    stream::iter(looks).buffered(LOOKS).try_filter_map(|missing| async move { Ok(missing) }).boxed()
}

async fn is_archived(repository: &Repository, segment: SegmentName) -> Result<bool> {
    Ok(repository.wal_format(WalName::Segment(segment)).await?.is_some())
}

fn missing_after(repository: &Repository, segment: SegmentName, limit: Duration) -> Error {
    Error::TimedOut(format!(
        "the backup needs WAL segment {segment}, which didn't arrive in {} within {} s; the backup was \
         given up. \
         Is archive_command set to archive there, and does the server's log show it failing? \
         --xlog puts the WAL into the backup, --archive-timeout waits longer",
        repository.location(),
        limit.as_secs(),
    ))
}
