//! Archives further files after the one that PostgreSQL asked for: it asks for one after the other, and waits for each.
//!
//! The command line calls it when the asked file is stored. It must never store anything of a server whose WAL doesn't
//! belong into the repository, such as an old primary that was started again. So after a file that is refused, nothing more
//! is stored: neither after the asked one, nor after another one whose name is taken by other content.

use std::{
    io,
    iter::repeat_with,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::{join, join_all},
    stream,
};
use swiftwal_compression::Codec;
use swiftwal_postgres::WalName;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use crate::{
    error::{Error, Result},
    local::{archive_status::waiting_names, blocking::blocking},
    repository::{
        Repository,
        ahead_marks::{AheadMarks, Seen, StoredAs},
        staged_wal::{Existing, StagedWal},
        store_once::StoredOnce,
        wal_file::WalFile,
        wal_frames::{Threads, most_threads},
    },
};

/// How much is archived ahead.
#[derive(Clone, Copy, Debug)]
pub struct Ahead {
    /// The most files.
    pub files: usize,
    /// How many of them at a time.
    pub jobs: usize,
    /// How long it may take. What isn't stored by then is abandoned.
    pub time: Duration,
    /// How long the file took that was asked for. Several at a time may share the connection to the storage, and take
    /// longer by as much.
    pub asked: Duration,
}

impl Ahead {
    /// Returns how many files to store at a time, and for how long to begin another one, so that none is abandoned: the
    /// next call would begin it again, and never get further.
    fn pace(&self) -> Option<(usize, Duration)> {
        let at_a_time = self.time.as_millis() / self.asked.as_millis().max(1);
        let jobs = self.jobs.min(usize::try_from(at_a_time).unwrap_or(usize::MAX));
        let last =
            self.time.checked_sub(self.asked.saturating_mul(u32::try_from(jobs).unwrap_or(u32::MAX)))?;
        (jobs > 0).then_some((jobs, last))
    }
}

/// Stores further files that PostgreSQL is going to ask for, according to `archive_status` beside the file at `path`,
/// which must be stored already. Each is marked, so that [`archive_wal`](super::archive_wal) acknowledges it without a
/// request. PostgreSQL's files are only read. Does nothing if this machine has no state directory for the repository, or
/// has warned that it can't use that.
///
/// Timeline histories are stored first, one after the other. Of the segments, those whose name is taken are compared
/// before another is stored; while the storage is asked for the names, the first segments are compressed. The first failure
/// is a warning, and nothing more is begun: PostgreSQL is going to ask for that file.
pub async fn archive_ahead(repository: &Repository, path: &Path, codec: Codec, ahead: &Ahead) {
    let Some(marks) = repository.ahead_marks() else { return };
    if marks.are_unusable() {
        return;
    }
    let Some((jobs, last)) = ahead.pace() else {
        tracing::info!("{} is stored; it took too long to archive the files after it ahead", path.display());
        return;
    };
    let batch = Batch {
        repository,
        marks,
        codec,
        jobs,
        begin_until: Instant::now() + last,
        compressing: Semaphore::new(most_threads()),
    };
    match timeout(ahead.time, Box::pin(batch.store(path, ahead.files))).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(
            "{} is stored; the files after it couldn't be archived ahead: {}",
            path.display(),
            error.in_full()
        ),
        Err(_) => tracing::info!(
            "{} is stored; the time for archiving the files after it ahead is over",
            path.display()
        ),
    }
}

/// The files of one call.
struct Batch<'a> {
    repository: &'a Repository,
    marks: AheadMarks,
    codec: Codec,
    jobs: usize,
    begin_until: Instant,
    /// A thread for each file that is being compressed.
    compressing: Semaphore,
}

/// A file that PostgreSQL hasn't asked for yet.
struct Waiting {
    path: PathBuf,
    file: WalFile,
    seen: Seen,
    /// What has its name.
    stored: Option<StoredAs>,
}

impl<'a> Batch<'a> {
    async fn store(&self, asked: &Path, most: usize) -> Result<()> {
        let (asked, marks) = (asked.to_owned(), self.marks.clone());
        let (histories, segments) = blocking(move || waiting(&asked, &marks, most)).await?;
        for history in histories {
            if let Some(mut history) = self.open(history).await? {
                history.stored = self.stored(&history.file).await?;
                self.store_one(history, None).await?;
            }
        }
        let segments = stream::iter(segments).map(|path| self.open(path).boxed()).buffered(self.jobs);
        let mut segments: Vec<_> = segments.try_filter_map(async |opened| Ok(opened)).try_collect().await?;
        let (stored, staged) =
            join(self.stored_of_each(&segments).boxed(), self.stage_first(&segments).boxed()).await;
        for (segment, stored) in segments.iter_mut().zip(stored?) {
            segment.stored = stored;
        }
        let staged = staged.into_iter().chain(repeat_with(|| None));
        let (taken, free): (Vec<_>, Vec<_>) =
            segments.into_iter().zip(staged).partition(|(waiting, _)| waiting.stored.is_some());
        for (waiting, _) in taken {
            self.store_one(waiting, None).await?;
        }
        self.store_at_a_time(free).await
    }

    /// Stores several files at a time. After a failure, only what has begun is finished.
    async fn store_at_a_time(&self, files: Vec<(Waiting, Option<StagedWal<'a>>)>) -> Result<()> {
        let has_failed = &AtomicBool::new(false);
        let stores = files.into_iter().map(|(waiting, staged)| {
            let store = async move {
                if has_failed.load(Ordering::Relaxed) || Instant::now() > self.begin_until {
                    return Ok(());
                }
                let stored = self.store_one(waiting, staged).await;
                has_failed.fetch_or(stored.is_err(), Ordering::Relaxed);
                stored
            };
            store.boxed()
        });
        let stores: Vec<_> = stores.collect();
        let stores = stream::iter(stores).buffer_unordered(self.jobs);
        stores.fold(Ok(()), |before, stored| async { before.and(stored) }).await
    }

    /// Opens and checks a file. None if it is missing: after a crash, a status file may outlive it.
    async fn open(&self, path: PathBuf) -> Result<Option<Waiting>> {
        let now = self.repository.clock().now();
        let opened = blocking(move || {
            let seen = match AheadMarks::look(&path, now) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                seen => seen.map_err(Error::local("read", &path))?,
            };
            Ok(Some((WalFile::open(&path)?, path, seen)))
        });
        let opened = opened.await?;
        Ok(opened.map(|(file, path, seen)| Waiting { path, file, seen, stored: None }))
    }

    /// Returns what has the name of each file.
    async fn stored_of_each(&self, files: &[Waiting]) -> Result<Vec<Option<StoredAs>>> {
        let looks = files.iter().map(|waiting| self.stored(&waiting.file).boxed());
        let looks: Vec<_> = looks.collect();
        stream::iter(looks).buffered(self.jobs).try_collect().await
    }

    /// Returns what has the name of this file, in any compression.
    async fn stored(&self, file: &WalFile) -> Result<Option<StoredAs>> {
        let identity = file.identity();
        let formats =
            self.repository.ensure_cluster_unless_cached(identity.as_ref(), self.codec.format()).await?;
        self.repository.stored_as(file, formats).await
    }

    /// Compresses as many of the first files as are stored at a time. None for one that fails, which will fail again when
    /// it is stored, or that is stored in parts, of which nothing may be sent yet.
    async fn stage_first(&self, files: &[Waiting]) -> Vec<Option<StagedWal<'a>>> {
        let first = files.iter().take(self.jobs).map(|waiting| {
            let stage = async {
                let is_one_object = self.repository.is_put_at_once(&waiting.file);
                if is_one_object { self.stage(&waiting.file).await.ok() } else { None }
            };
            stage.boxed()
        });
        join_all(first).await
    }

    /// Stores a file, which may be `staged` already, or compares it with what has its name, and marks it.
    async fn store_one(&self, waiting: Waiting, staged: Option<StagedWal<'a>>) -> Result<()> {
        let Waiting { path, file, seen, stored } = waiting;
        tracing::debug!("archiving {file} ahead");
        let format = stored.map_or(self.codec.format(), |stored| stored.format);
        let outcome = match (stored, staged) {
            (Some(_), _) => self.repository.compare_once(&file.object(format), &file, format).await?,
            (None, Some(staged)) => self.publish(&file, staged).await?,
            (None, None) => self.publish(&file, self.stage(&file).await?).await?,
        };
        let stored = match outcome {
            StoredOnce::Stored { stored_bytes } => Some(StoredAs { format, bytes: stored_bytes }),
            StoredOnce::SameContent => stored,
            StoredOnce::Different => return Err(self.repository.another_content(&file, format)),
        };
        if let Some(stored) = stored {
            let (marks, now) = (self.marks.clone(), self.repository.clock().now());
            blocking(move || marks.set(&path, seen, stored, now)).await?;
        }
        tracing::debug!("{file} is stored ahead");
        Ok(())
    }

    async fn stage(&self, file: &WalFile) -> Result<StagedWal<'a>> {
        let object = file.object(self.codec.format());
        let _turn = self.compressing.acquire().await;
        self.repository.stage_wal(&object, file, self.codec, Existing::Keep, Threads::One).await
    }

    async fn publish(&self, file: &WalFile, staged: StagedWal<'a>) -> Result<StoredOnce> {
        let object = file.object(self.codec.format());
        self.repository.publish_once(staged, &object, file, self.codec.format()).await
    }
}

/// Returns the histories and the segments that wait to be archived, in PostgreSQL's order: `most` files that have no mark
/// yet, other than the `asked` one.
fn waiting(asked: &Path, marks: &AheadMarks, most: usize) -> Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let directory = asked.parent().unwrap_or(Path::new(""));
    let mut names: Vec<_> = waiting_names(directory)
        .into_iter()
        .flatten()
        .filter(|name| asked.file_name().is_none_or(|asked| asked != name.as_str()))
        .filter_map(|name| match name.parse().ok()? {
            WalName::History(_) => Some((false, name)),
            WalName::Segment(_) => Some((true, name)),
            WalName::Partial(_) | WalName::Backup { .. } => None,
        })
        .collect();
    names.sort_unstable();
    if names.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    marks.begin()?;
    let files = names.into_iter().map(|(is_segment, name)| (is_segment, directory.join(name)));
    let files = files.filter(|(_, path)| !marks.has(path)).take(most);
    let (segments, histories): (Vec<_>, Vec<_>) = files.partition(|(is_segment, _)| *is_segment);
    let paths = |files: Vec<(bool, PathBuf)>| files.into_iter().map(|(_, path)| path).collect();
    Ok((paths(histories), paths(segments)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_begun_than_a_shared_connection_can_store_in_time() {
        let pace = |asked| {
            let time = Duration::from_secs(30);
            Ahead { files: 8, jobs: 4, time, asked: Duration::from_secs_f64(asked) }.pace()
        };
        let seconds = |seconds| Duration::from_secs_f64(seconds);
        assert_eq!(pace(0.0), Some((4, seconds(30.0))));
        assert_eq!(pace(0.5), Some((4, seconds(28.0))));
        assert_eq!(pace(11.0), Some((2, seconds(8.0))));
        assert_eq!(pace(16.0), Some((1, seconds(14.0))));
        assert_eq!(pace(31.0), None);
    }
}
