//! Waits, within limits, for the WAL that a backup needs to become consistent.

use std::time::Duration;

use futures::TryStreamExt;
use swiftwal_postgres::{SegmentName, WalName};
use tokio::time::{Instant, sleep};

use super::{BackupEvent, Observe, backup_options::LONGEST_ARCHIVE_TIMEOUT};
use crate::{
    error::{Error, Overdue, Refusal, Result},
    repository::{
        Repository,
        cluster::ClusterIdentity,
        completeness::{is_archived, missing_of, needed_by},
        record::BackupRecord,
    },
};

/// The first pause between two looks for a segment. It doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long the next segment may still be waited for. The limit counts from the last one that arrived, so a slow
/// archiver is waited for.
struct ArchiveWait {
    limit: Duration,
    deadline: Instant,
    /// The end of all waiting: nothing touches the parts of the tar meanwhile, and they must not grow so old that they
    /// are swept.
    end: Instant,
}

impl ArchiveWait {
    fn new(limit: Duration) -> Self {
        let now = Instant::now();
        Self { limit, deadline: now + limit, end: now + LONGEST_ARCHIVE_TIMEOUT }
    }

    /// Restarts the limit, since a segment has arrived.
    fn renew(&mut self) {
        self.deadline = (Instant::now() + self.limit).min(self.end);
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    async fn pause(&self, pause: Duration) {
        sleep(pause.min(self.deadline.saturating_duration_since(Instant::now()))).await;
    }
}

/// Returns when every segment that `record` needs has been found in the repository. For the backup of a standby, whose
/// primary may be idle, it says what ends a longer wait.
///
/// # Errors
///
/// [`Error::TimedOut`], with the first segment that wasn't found within `limit` after the previous one.
pub(super) async fn until_archived(
    repository: &Repository,
    record: &BackupRecord,
    is_standby: bool,
    limit: Duration,
    observe: Observe<'_>,
) -> Result<()> {
    let mut is_to_be_told = is_standby;
    let needed = needed_by(record);
    let missing: Vec<_> = missing_of(repository, needed, WalName::Segment).try_collect().await?;
    let mut wait = ArchiveWait::new(limit);
    for segment in missing {
        let mut pause = SHORTEST_PAUSE;
        while !is_archived(repository, segment).await? {
            observe(BackupEvent::WaitingForWal(segment));
            if wait.is_over() {
                return Err(missing_after(repository, segment, limit).await);
            }
            if pause == LONGEST_PAUSE && std::mem::take(&mut is_to_be_told) {
                observe(BackupEvent::Warning(&format!(
                    "the backup waits until the primary archives {segment}, which it does when that segment is full; if \
                     the primary is idle, run SELECT pg_switch_wal() there"
                )));
            }
            wait.pause(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        wait.renew();
    }
    Ok(())
}

/// Waits while the server, which has sent everything else, waits for its archiver, as long as WAL of the cluster
/// `identity` arrives in the repository, from the segment `first` on. Returns the error when that takes too long.
pub(super) async fn server_waits(
    repository: &Repository,
    identity: &ClusterIdentity,
    first: SegmentName,
    limit: Duration,
    observe: Observe<'_>,
) -> Error {
    let (mut wait, mut pause) = (ArchiveWait::new(limit), SHORTEST_PAUSE);
    let size = identity.wal_segment_bytes;
    let mut segments = std::iter::successors(Some(first), |segment| segment.next(size));
    let Some(mut segment) = segments.next() else {
        return Overdue::NoPositions.into();
    };
    let mut is_ours = false;
    loop {
        wait.pause(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        if !is_ours {
            // As long as the repository belongs to no cluster, the server's archive_command may refuse to start it.
            match repository.ensure_cluster(Some(identity), None).await {
                Ok(_) => is_ours = true,
                // Another cluster's WAL will never arrive here, so don't wait for it.
                Err(error @ Error::Refused(Refusal::AnotherCluster { .. })) => return error,
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "can't check which cluster the repository belongs to"
                ),
            }
        }
        match is_archived(repository, segment).await {
            Ok(true) => {
                (segment, pause) = (segments.next().unwrap_or(segment), SHORTEST_PAUSE);
                wait.renew();
            }
            Ok(false) if wait.is_over() => {
                observe(BackupEvent::WaitingForWal(segment));
                return missing_after(repository, segment, limit).await;
            }
            Ok(false) => observe(BackupEvent::WaitingForWal(segment)),
            Err(error) if wait.is_over() => return error,
            // The wait is for the server. The storage may work again when it continues.
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "can't look for {segment}");
            }
        }
    }
}

/// Returns the error, with the missing segment and its probable cause according to what is stored.
async fn missing_after(repository: &Repository, segment: SegmentName, limit: Duration) -> Error {
    let location = repository.location();
    let cause = match newest_of_its_timeline(repository, segment).await {
        Ok(newest) => cause(segment, newest, location),
        Err(error) => format!("The stored WAL can't be listed: {}", error.in_full()),
    };
    Overdue::Wal { segment, location: location.to_owned(), limit, cause }.into()
}

/// Returns the most likely cause if `segment` is missing, and the newest stored one is `newest`.
fn cause(segment: SegmentName, newest: Option<SegmentName>, location: &str) -> String {
    match newest {
        None => format!(
            "No WAL of timeline {} was ever archived there: archive_command fails, or stores elsewhere. Look at \
             pg_stat_archiver and the server's log; archive_command must be swiftwal's archive-wal with this repository",
            segment.timeline()
        ),
        Some(newest) if newest < segment => format!(
            "The last segment that was archived is {newest}: archive_command has failed since then, or lags behind. Look at \
             pg_stat_archiver and the server's log; --archive-timeout waits longer for each segment"
        ),
        Some(newest) => format!(
            "Later WAL is stored, up to {newest}: this segment was archived elsewhere, or removed from {location}"
        ),
    }
}

async fn newest_of_its_timeline(
    repository: &Repository,
    segment: SegmentName,
) -> Result<Option<SegmentName>> {
    let stored = repository.list().await?.unwrap_or_default().wal;
    let segments = stored.iter().filter_map(|wal| match wal.name {
        WalName::Segment(name) if name.timeline() == segment.timeline() => Some(name),
        _ => None,
    });
    Ok(segments.max())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{PutMode, memory::InMemory};
    use swiftwal_compression::Format;

    use super::*;
    use crate::{local::clock::SystemClock, repository::layout::ObjectName, storage::Storage};

    /// Returns the record of a backup that needs the segments 3 and 4.
    fn record() -> BackupRecord {
        serde_json::from_slice(&swiftwal_mutation::example("commit_record", "content")).unwrap()
    }

    /// Waits at most a minute for each segment, of which one arrives every `pause`.
    async fn wait(pause: Duration) -> Result<()> {
        let storage = Storage::new(Arc::new(InMemory::new()));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        let archiver = async {
            for segment in needed_by(&record()) {
                sleep(pause).await;
                let name = ObjectName::Wal { name: WalName::Segment(segment), format: Format::None };
                repository.put(&name, "wal".into(), PutMode::Create).await.unwrap();
            }
            std::future::pending().await
        };
        let record = record();
        tokio::select! {
            waited = until_archived(&repository, &record, false, Duration::from_secs(60), &|_| {}) => waited,
            () = archiver => Ok(()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_timeout_counts_from_the_last_segment_that_arrived() {
        wait(Duration::from_secs(50)).await.unwrap();
        let error = wait(Duration::from_secs(70)).await.unwrap_err().to_string();
        assert!(error.contains("000000010000000000000003") && error.contains("within 60 s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_archive_is_not_waited_for_until_the_parts_are_swept() {
        let mut wait = ArchiveWait::new(LONGEST_ARCHIVE_TIMEOUT);
        sleep(LONGEST_ARCHIVE_TIMEOUT).await;
        wait.renew();
        assert!(wait.is_over());
    }

    #[test]
    fn each_cause_of_missing_wal_has_its_own_advice() {
        let name = |text: &str| text.parse::<SegmentName>().unwrap();
        let missing = name("000000010000000000000005");
        for (newest, expected) in [
            (None, "No WAL of timeline 1"),
            (Some(name("000000010000000000000004")), "has failed since then, or lags behind"),
            (Some(name("000000010000000000000006")), "archived elsewhere, or removed"),
        ] {
            let cause = cause(missing, newest, "file:///backup");
            assert!(cause.contains(expected), "{cause}");
        }
    }
}
