//! The prefetcher: a process that fetches the segments that PostgreSQL will ask for next.
//!
//! restore-wal starts it after it has fetched a segment; there is one for each data directory and repository. It ends by
//! itself and removes its spool when no segment was delivered for a while, when the data directory's server is gone, when
//! its socket was removed because it didn't answer, when restore-wal has another configuration, and when the storage fails
//! or stalls twice in a row: the next one begins with the settings of its time.
//!
//! A failure here is never one of the recovery: it is logged once, and restore-wal fetches the segment itself. It also
//! fetches segments that were missing here, which aren't logged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io, iter,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use swiftwal_postgres::{SegmentHeader, SegmentName, SegmentSize, WalName};
use tokio::{
    net::UnixListener,
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use self::serving::serve;
use super::{
    data_directory::DataDirectory,
    messages::Connection,
    spool::Spool,
    window::{Progress, Window},
    write,
};
use crate::{
    error::{Error, Result},
    local::{blocking::blocking, content::Fingerprint, staged_file::StagedFile},
    repository::Repository,
};

mod serving;
#[cfg(test)]
mod tests;

/// The size of the segments that are fetched ahead, unless it is chosen.
const DEFAULT_BYTES: u64 = 256 << 20;
/// How long the prefetcher lives after the last delivery.
const IDLE: Duration = Duration::from_secs(30);
/// How often it checks that it is still needed.
const TICK: Duration = Duration::from_secs(1);
/// After so many failures of the storage in a row, or so many segments in a row of which nothing arrived, it ends.
const MOST_FAILURES: usize = 2;
/// How much a prefetcher does.
#[derive(Clone, Copy, Debug)]
pub struct PrefetchOptions {
    /// The number of segments that are fetched at the same time.
    pub jobs: NonZeroUsize,
    /// The number of segments that are fetched ahead; that many are in the spool at most, and one that is being taken.
    pub segments: NonZeroUsize,
}

impl PrefetchOptions {
    /// Returns the default number of segments: as many as 256 MiB contain, but at least one.
    #[must_use]
    pub fn default_segments(size: SegmentSize) -> NonZeroUsize {
        usize::try_from(DEFAULT_BYTES / size.bytes())
            .ok()
            .and_then(NonZeroUsize::new)
            .unwrap_or(NonZeroUsize::MIN)
    }
}

/// Fetches the segments after `delivered` into the spool, and those after each later one, until no segment was delivered
/// for 30 seconds and no process waits for one, the server of `data` is gone, or the storage fails twice in a row. Does
/// nothing if another process does this already. However it ends, no segment stays in the spool, unless the process is
/// killed.
///
/// # Errors
///
/// [`Error::Local`] if the spool can't be used.
pub async fn prefetch_wal(
    repository: &Repository,
    spool: &Spool,
    data: &DataDirectory,
    delivered: SegmentName,
    options: &PrefetchOptions,
) -> Result<()> {
    let local = || Error::local("use", spool.path());
    let Some(_lock) = spool.lock().map_err(local())? else { return Ok(()) };
    let (jobs, segments) = (options.jobs.get(), options.segments.get());
    let window = Window::new(delivered, data.segment_size, segments);
    let shared = Arc::new(Shared::new(window, spool.clone()));
    let _cleanup = Cleanup(Arc::clone(&shared));
    // What a prefetcher that was killed has left.
    spool.clear().map_err(local())?;
    spool.remove_abandoned().map_err(local())?;
    let listener = spool.listen().map_err(local())?;
    let socket = spool.socket_inode().map_err(local())?;
    let room = data.segment_size.bytes().saturating_mul(segments as u64);
    let mut work = Work {
        repository: repository.clone(),
        data: data.clone(),
        jobs,
        room,
        shared,
        fetches: JoinSet::new(),
        handles: BTreeMap::new(),
        failures: 0,
        logged: BTreeSet::new(),
    };
    work.run(&listener, socket).await;
    work.fetches.shutdown().await;
    Ok(())
}

/// Removes the spool when it is dropped.
struct Cleanup(Arc<Shared>);

impl Drop for Cleanup {
    fn drop(&mut self) {
        // A fetch may still write its file in a blocking thread; from now on it can't add it to the spool.
        self.0.window().close();
        // The next prefetcher removes what can't be removed now.
        drop(self.0.spool.remove());
    }
}

/// What the connections and the fetches share.
#[derive(Debug)]
struct Shared {
    window: Mutex<Window>,
    /// When the last segment was delivered.
    delivered: Mutex<Instant>,
    /// The number of segments, since one was taken, that a process has waited for in vain.
    stalls: AtomicUsize,
    /// Whether restore-wal has another configuration by now.
    is_outdated: AtomicBool,
    /// A fetch has ended.
    changed: Notify,
    /// The window has moved.
    moved: Notify,
    spool: Spool,
}

impl Shared {
    fn new(window: Window, spool: Spool) -> Self {
        Self {
            window: Mutex::new(window),
            delivered: Mutex::new(Instant::now()),
            stalls: AtomicUsize::new(0),
            is_outdated: AtomicBool::new(false),
            changed: Notify::new(),
            moved: Notify::new(),
            spool,
        }
    }

    /// Whether too many segments in a row have stalled, or the configuration has changed.
    fn is_useless(&self) -> bool {
        self.stalls.load(Ordering::Relaxed) >= MOST_FAILURES || self.is_outdated.load(Ordering::Relaxed)
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_delivery(&self) {
        *self.delivered.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.moved.notify_one();
    }

    fn is_idle(&self) -> bool {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner).elapsed() >= IDLE
    }

    /// Adds the file of a fetch to the spool, if it is still wanted: the fetch goes on in a blocking thread after it was
    /// cancelled, and what it adds then would stay there. Returns whether it did.
    fn publish(&self, name: SegmentName, fetch: &Progress, file: StagedFile) -> io::Result<bool> {
        let window = self.window();
        if !window.is_fetching(name, fetch) {
            return Ok(false);
        }
        file.publish()?;
        drop(window);
        Ok(true)
    }

    fn remove(&self, name: SegmentName) {
        // Most often it was moved away, or never had a name.
        drop(fs::remove_file(self.spool.segment(name)));
    }
}

/// A fetch that has ended.
struct Fetched {
    name: SegmentName,
    progress: Progress,
    /// None if the segment is missing, or no longer wanted.
    outcome: Result<Option<Fingerprint>>,
}

/// The loop that starts fetches and answers processes.
struct Work {
    repository: Repository,
    data: DataDirectory,
    jobs: usize,
    /// The number of bytes that stay free in the file system of the spool, beside what is fetched.
    room: u64,
    shared: Arc<Shared>,
    fetches: JoinSet<Fetched>,
    handles: BTreeMap<SegmentName, AbortHandle>,
    /// The number of failures of the storage in a row.
    failures: usize,
    /// The causes of the failures that were logged.
    logged: BTreeSet<String>,
}

impl Work {
    /// Works until it isn't needed any more, or can't go on. `socket` is the inode of the listener's socket.
    async fn run(&mut self, listener: &UnixListener, socket: u64) {
        let mut connections = JoinSet::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        while self.failures < MOST_FAILURES && !shared.is_useless() {
            self.start_fetches();
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // A process that has just taken a segment asks for the next one.
                        self.start_fetches();
                        drop(connections.spawn(serve(Arc::clone(&shared), Connection::new(stream))));
                    }
                    // Most likely it has no file descriptor left, and would fail again at once.
                    Err(error) => {
                        self.log(&Error::local("use", shared.spool.path())(error));
                        break;
                    }
                },
                Some(ended) = self.fetches.join_next() => {
                    // A fetch that isn't wanted any more was cancelled.
                    if let Ok(fetched) = ended {
                        self.note(fetched);
                    }
                }
                Some(_) = connections.join_next() => {}
                () = shared.moved.notified() => {}
                _ = ticks.tick() => {
                    let is_idle = connections.is_empty() && shared.is_idle();
                    let is_reachable = shared.spool.socket_inode().is_ok_and(|found| found == socket);
                    if is_idle || !is_reachable || !self.data.is_used() {
                        break;
                    }
                }
            }
        }
    }

    /// Ends the fetches that aren't wanted any more, and starts those that are.
    fn start_fetches(&mut self) {
        let shared = Arc::clone(&self.shared);
        shared.window().expire(Instant::now());
        for name in shared.window().take_unwanted() {
            if let Some(handle) = self.handles.remove(&name) {
                handle.abort();
            }
            shared.remove(name);
        }
        while self.fetches.len() < self.jobs {
            let Some((name, progress)) = shared.window().next() else { break };
            let fetch = Fetch {
                repository: self.repository.clone(),
                data: self.data.clone(),
                shared: Arc::clone(&shared),
                room: self.room,
                name,
                progress,
            };
            self.handles.insert(name, self.fetches.spawn(Box::pin(fetch.run())));
        }
    }

    fn note(&mut self, Fetched { name, progress, outcome }: Fetched) {
        let is_wanted = self.shared.window().is_fetching(name, &progress);
        if !is_wanted {
            return;
        }
        self.handles.remove(&name);
        match &outcome {
            Ok(_) => self.failures = 0,
            Err(error) => {
                self.log(error);
                // restore-wal may have other credentials by now. It can't do more about these two.
                if !matches!(error, Error::Local { .. } | Error::Damaged { .. }) {
                    self.failures += 1;
                }
            }
        }
        self.shared.window().fetched(name, &progress, outcome.ok().flatten());
        self.shared.changed.notify_waiters();
    }

    /// Logs a failure, unless one of this cause was logged before.
    fn log(&mut self, error: &Error) {
        let first: &(dyn std::error::Error + 'static) = error;
        let cause = iter::successors(Some(first), |error| error.source()).last().map(ToString::to_string);
        if self.logged.insert(cause.unwrap_or_default()) {
            tracing::warn!("can't fetch WAL ahead, so recovery is slower: {}", error.in_full());
        }
    }
}

/// The fetch of one segment.
struct Fetch {
    repository: Repository,
    data: DataDirectory,
    shared: Arc<Shared>,
    room: u64,
    name: SegmentName,
    progress: Progress,
}

impl Fetch {
    async fn run(self) -> Fetched {
        let outcome = self.fetch().await;
        Fetched { name: self.name, progress: self.progress, outcome }
    }

    /// Fetches the segment into the spool. Returns what its file was when its content had been checked; none if the
    /// segment is missing, or no longer wanted.
    async fn fetch(&self) -> Result<Option<Fingerprint>> {
        let name = WalName::Segment(self.name);
        let target = self.shared.spool.segment(self.name);
        self.ensure_room().map_err(Error::local("write", self.shared.spool.path()))?;
        let Some(wal) = self.repository.wal_if_stored(name).await? else { return Ok(None) };
        let object = wal.name.clone();
        let mut staged = StagedFile::for_target(&target).map_err(Error::local("write", &target))?;
        let observe = |bytes| self.progress.set(bytes);
        let written = write(&self.repository, name, wal, &target, &mut staged, observe).await?;
        let header = SegmentHeader::parse(&written.start).map_err(|error| Error::damaged(&object, error))?;
        self.data.check(&header, &object)?;
        // Before anybody else knows the file.
        let fingerprint = staged.fingerprint().map_err(Error::local("write", &target))?;
        let (shared, name, progress) = (Arc::clone(&self.shared), self.name, self.progress.clone());
        let is_published = blocking(move || {
            let publish = || {
                // PostgreSQL makes the file durable before it replays it. Here that happens while it replays another one.
                staged.sync()?;
                shared.publish(name, &progress, staged)
            };
            publish().map_err(Error::local("write", target))
        })
        .await?;
        Ok(is_published.then_some(fingerprint))
    }

    /// Fails if what is fetched ahead could fill the file system, which is often that of the data directory.
    fn ensure_room(&self) -> io::Result<()> {
        let free = self.shared.spool.free_bytes()?;
        if free >= self.room.saturating_mul(2) {
            return Ok(());
        }
        let reason = format!(
            "less than {} MiB are free there, twice what --prefetch fetches ahead",
            self.room.saturating_mul(2) >> 20
        );
        Err(io::Error::new(io::ErrorKind::StorageFull, reason))
    }
}
