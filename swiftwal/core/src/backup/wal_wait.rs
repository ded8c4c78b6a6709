//! Waiting, within limits, for the WAL that makes a backup consistent.

use std::time::Duration;

use swiftwal_compression::Format;
use swiftwal_postgres::{BackupLabel, ControlFile, SegmentName, WalName, segments_between};
use tokio::time::{Instant, sleep};

use super::{BackupEvent, Observe};
use crate::{BackupRecord, Error, ObjectName, Repository, Result};

/// How soon after a look without success the next one comes; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Returns once every segment that `record` needs was seen in the repository.
///
/// # Errors
/// [`Error::TimedOut`] names the first segment that wasn't there within `limit`.
pub(super) async fn until_archived(
    repository: &Repository,
    record: &BackupRecord,
    limit: Duration,
    observe: Observe<'_>,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    for segment in
        segments_between(record.timeline, record.start_lsn, record.stop_lsn, record.wal_segment_bytes)
    {
        let mut pause = SHORTEST_PAUSE;
        while !is_archived(repository, segment).await? {
            observe(BackupEvent::WaitingForWal(segment));
            if Instant::now() >= deadline {
                return Err(missing(repository, segment, limit));
            }
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    Ok(())
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
    let mut next = Some(label.start_segment());
    while let Some(segment) = next {
        match is_archived(repository, segment).await {
            Ok(true) => next = segment.next(size),
            Ok(false) => {
                observe(BackupEvent::WaitingForWal(segment));
                return missing(repository, segment, limit);
            }
            Err(error) => return error,
        }
    }
    Error::TimedOut("PostgreSQL has no more WAL positions to give; it can't be backed up".to_owned())
}

async fn is_archived(repository: &Repository, segment: SegmentName) -> Result<bool> {
    let name = WalName::Segment(segment);
    for format in Format::ALL {
        if repository.size(&ObjectName::Wal { name, format }).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn missing(repository: &Repository, segment: SegmentName, limit: Duration) -> Error {
    Error::TimedOut(format!(
        "the backup needs WAL segment {segment}, which didn't arrive in {} within {} s; the backup was given up. \
         Is archive_command set to archive there, and does the server's log show it failing? \
         --xlog puts the WAL into the backup, --archive-timeout waits longer",
        repository.location(),
        limit.as_secs(),
    ))
}
