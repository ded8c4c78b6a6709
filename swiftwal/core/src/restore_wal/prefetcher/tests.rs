//! The prefetcher's waits, in time that passes by itself.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
    sync::Arc,
};

use object_store::{
    ObjectStore, PutMode,
    chunked::ChunkedStore,
    local::LocalFileSystem,
    memory::InMemory,
    throttle::{ThrottleConfig, ThrottledStore},
};
use swiftwal_compression::{Codec, Format, compress_frame};
use tempfile::TempDir;
use tokio::{
    task::{JoinHandle, yield_now},
    time::sleep,
};

use super::{
    serving::{REASSURANCE, STALLED},
    *,
};
use crate::{
    local::clock::SystemClock,
    repository::{layout::ObjectName, segment_check::synthetic_segment},
    restore_wal::prefetched::Prefetcher,
    storage::Storage,
};

const SEGMENT_BYTES: u32 = 1 << 20;
const SYSTEM_IDENTIFIER: u64 = 7;

fn name(number: u32) -> SegmentName {
    format!("0000000100000000{number:08X}").parse().unwrap()
}

fn object(number: u32) -> ObjectName {
    ObjectName::Wal { name: WalName::Segment(name(number)), format: Format::Zstd }
}

fn segment(number: u32) -> Vec<u8> {
    synthetic_segment(number, SEGMENT_BYTES)
}

/// Writes what the data directory of a running server contains.
fn data_directory(path: &Path) -> DataDirectory {
    let mut control = vec![0; 8192];
    let mut put = |at: usize, bytes: &[u8]| control[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &SYSTEM_IDENTIFIER.to_ne_bytes());
    put(244, &8_u32.to_ne_bytes());
    put(248, &1_234_567.0_f64.to_ne_bytes());
    put(256, &8192_u32.to_ne_bytes());
    put(260, &131_072_u32.to_ne_bytes());
    put(264, &8192_u32.to_ne_bytes());
    put(268, &SEGMENT_BYTES.to_ne_bytes());
    fs::create_dir_all(path.join("global")).unwrap();
    fs::write(path.join("global/pg_control"), control).unwrap();
    fs::write(path.join("PG_VERSION"), "15").unwrap();
    fs::write(path.join("postmaster.pid"), process::id().to_string()).unwrap();
    DataDirectory::open(path).unwrap()
}

/// A prefetcher after the segment 1.
struct Running {
    scratch: TempDir,
    repository: Repository,
    data: DataDirectory,
    spool: Spool,
    prefetcher: JoinHandle<Result<()>>,
}

impl Running {
    /// Stores the segments 1 and 2 in a storage that takes some time for each answer.
    async fn start(delay: Duration) -> Self {
        let config = ThrottleConfig { wait_get_per_call: delay, ..ThrottleConfig::default() };
        let running = Self::start_on(Arc::new(ThrottledStore::new(InMemory::new(), config))).await;
        for number in 1..=2 {
            running.archive(number, &segment(number)).await;
        }
        running
    }

    async fn start_on(store: Arc<dyn ObjectStore>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let repository = Repository::new(Storage::new(store), "a test", Arc::new(SystemClock));
        let data = data_directory(&scratch.path().join("data"));
        let spool = Spool::new(&scratch.path().join("spool"), &repository, &data).unwrap();
        let prefetcher = tokio::spawn({
            let (repository, spool, data) = (repository.clone(), spool.clone(), data.clone());
            let two = NonZeroUsize::new(2).unwrap();
            let options = PrefetchOptions { jobs: two, segments: two };
            async move { prefetch_wal(&repository, &spool, &data, name(1), &options).await }
        });
        Self { scratch, repository, data, spool, prefetcher }
    }

    async fn archive(&self, number: u32, content: &[u8]) {
        let content = compress_frame(Codec::default(), content).unwrap();
        self.repository.put(&object(number), content.into(), PutMode::Overwrite).await.unwrap();
    }

    async fn connect(&self) -> Prefetcher {
        loop {
            match Prefetcher::connect(&self.spool).await {
                Some(prefetcher) => return prefetcher,
                None => yield_now().await,
            }
        }
    }

    fn target(&self) -> PathBuf {
        self.scratch.path().join("RECOVERYXLOG")
    }

    /// Asks for a segment. Returns whether it was taken.
    async fn ask(&self, number: u32, deadline: Duration) -> bool {
        let prefetcher = self.connect().await;
        let began = Instant::now();
        let time_left = |_| Some(deadline.saturating_sub(began.elapsed()));
        prefetcher.take(&self.spool, &self.data, name(number), &self.target(), &time_left).await.unwrap()
    }

    /// Asks for the segment 2. Returns whether it was taken, and after how long.
    async fn take(&self, deadline: Duration) -> (bool, Duration) {
        let began = Instant::now();
        let taken = self.ask(2, deadline).await;
        assert!(!taken || fs::read(self.target()).unwrap() == segment(2));
        (taken, began.elapsed())
    }
}

const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn it_ends_when_nothing_was_delivered_for_half_a_minute_and_leaves_nothing() {
    let running = Running::start(Duration::ZERO).await;
    let began = Instant::now();
    let (taken, _) = running.take(LONG).await;
    assert!(taken);
    // A segment that is missing, and asked for again and again, doesn't keep it alive.
    while let Some(prefetcher) = Prefetcher::connect(&running.spool).await {
        let taken =
            prefetcher.take(&running.spool, &running.data, name(3), &running.target(), &|_| None).await;
        assert!(!taken.unwrap());
        sleep(Duration::from_secs(5)).await;
    }
    running.prefetcher.await.unwrap().unwrap();
    assert!((IDLE..IDLE + Duration::from_secs(10)).contains(&began.elapsed()), "{:?}", began.elapsed());
    assert!(!running.spool.path().exists());
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_arrives_slowly_is_waited_for() {
    let (taken, took) = Running::start(Duration::from_secs(2)).await.take(LONG).await;
    assert!(taken && took >= Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn one_of_which_nothing_arrives_is_not_waited_for() {
    let (taken, took) = Running::start(LONG).await.take(LONG).await;
    assert!(!taken && took < STALLED * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn half_of_the_time_is_left_for_one_of_which_nothing_arrives() {
    let deadline = Duration::from_secs(4);
    let (taken, took) = Running::start(LONG).await.take(deadline).await;
    assert!(!taken && took <= deadline / 2 + REASSURANCE, "{took:?}");
}

/// Starts a prefetcher of a storage that needs more than half a minute for a segment.
async fn start_slowly() -> Running {
    const PIECE: usize = 16 << 10;
    let memory = Arc::new(InMemory::new());
    let config = ThrottleConfig {
        // The decompressor needs up to eight pieces for the next bytes.
        wait_get_per_byte: Duration::from_millis(550) / PIECE as u32,
        ..ThrottleConfig::default()
    };
    let store = ThrottledStore::new(ChunkedStore::new(memory, PIECE), config);
    let running = Running::start_on(Arc::new(store)).await;
    running.archive(2, &segment(2)).await;
    running
}

#[tokio::test(start_paused = true)]
async fn one_that_arrives_slowly_is_waited_for_even_if_that_takes_longer_than_an_idle_prefetcher_lives() {
    let (taken, took) = start_slowly().await.take(LONG).await;
    assert!(taken && took > IDLE, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn after_half_of_the_time_one_is_waited_for_if_it_arrives_before_the_deadline_at_the_same_speed() {
    let (_, needed) = start_slowly().await.take(LONG).await;
    let (taken, took) = start_slowly().await.take(needed * 5 / 4).await;
    assert!(taken && took == needed, "{took:?} of {needed:?}");
    for deadline in [needed / 2, needed / 4] {
        let (taken, took) = start_slowly().await.take(deadline).await;
        assert!(!taken && took < deadline * 3 / 4, "{took:?} of {deadline:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_that_of_a_segment_as_soon_as_a_part_of_it_arrives() {
    let running = start_slowly().await;
    let began = Instant::now();
    let deadline = |bytes: u64| if bytes == 0 { Duration::from_secs(10) } else { LONG };
    let time_left = |bytes| Some(deadline(bytes).saturating_sub(began.elapsed()));
    let prefetcher = running.connect().await;
    assert!(
        prefetcher.take(&running.spool, &running.data, name(2), &running.target(), &time_left).await.unwrap()
    );
    assert!(began.elapsed() > IDLE, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_that_was_archived_again_a_minute_ago_is_not_handed_over_as_it_was() {
    let running = Running::start(Duration::ZERO).await;
    while !running.spool.segment(name(2)).exists() {
        yield_now().await;
    }
    let mut other = segment(2);
    other[20_000] ^= 1;
    running.archive(2, &other).await;
    let began = Instant::now();
    while began.elapsed() <= Duration::from_secs(60) {
        assert!(running.connect().await.delivered(name(1)).await);
        sleep(Duration::from_secs(20)).await;
    }
    assert!(running.ask(2, LONG).await, "it was fetched again");
    assert!(fs::read(running.target()).unwrap() == other);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_not_asked_again() {
    for is_request in [true, false] {
        let running = Running::start(Duration::ZERO).await;
        let other =
            Spool::new(&running.scratch.path().join("hung"), &running.repository, &running.data).unwrap();
        let _lock = other.lock().unwrap().unwrap();
        let _nobody_accepts = other.listen().unwrap();
        let prefetcher = Prefetcher::connect(&other).await.unwrap();
        let began = Instant::now();
        let is_answered = if is_request {
            prefetcher.take(&other, &running.data, name(2), &running.target(), &|_| None).await.unwrap()
        } else {
            prefetcher.delivered(name(2)).await
        };
        assert!(!is_answered && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        assert!(Prefetcher::connect(&other).await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_its_socket_was_removed_or_is_another_ones() {
    for is_replaced in [true, false] {
        let running = Running::start(Duration::ZERO).await;
        running.connect().await;
        let began = Instant::now();
        running.spool.remove_socket().unwrap();
        if is_replaced {
            fs::write(running.spool.path().join("socket"), "").unwrap();
        }
        running.prefetcher.await.unwrap().unwrap();
        assert!(began.elapsed() <= TICK * 2, "{:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn it_ends_after_two_segments_of_which_nothing_arrived() {
    let running = Running::start(LONG).await;
    let began = Instant::now();
    assert!(!running.ask(2, LONG).await);
    running.connect().await.delivered(name(2)).await;
    assert!(!running.ask(3, LONG).await);
    running.prefetcher.await.unwrap().unwrap();
    assert!(began.elapsed() < IDLE, "{:?}", began.elapsed());
    assert!(!running.spool.path().exists());
}

#[tokio::test(start_paused = true)]
async fn it_ends_after_the_storage_has_failed_twice_and_not_after_damaged_segments() {
    for is_storage in [true, false] {
        let store = tempfile::tempdir().unwrap();
        let local = LocalFileSystem::new_with_prefix(store.path()).unwrap();
        for number in 2..=5 {
            let path = store.path().join(object(number).to_string());
            match is_storage {
                // It can't be opened.
                true => symlink(&path, &path).unwrap(),
                false => fs::write(path, "no frame").unwrap(),
            }
        }
        let running = Running::start_on(Arc::new(local)).await;
        let began = Instant::now();
        running.connect().await;
        for number in 1..=3 {
            if let Some(prefetcher) = Prefetcher::connect(&running.spool).await {
                prefetcher.delivered(name(number)).await;
            }
            // Longer than a fetch takes.
            sleep(TICK).await;
        }
        running.prefetcher.await.unwrap().unwrap();
        assert_eq!(began.elapsed() < IDLE, is_storage, "{:?}", began.elapsed());
    }
}

/// A fetch goes on in a blocking thread after it was cancelled.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_is_not_wanted_any_more_adds_no_file_to_the_spool() {
    type End = fn(&Arc<Shared>);
    let ends: [(&str, bool, End); 3] = [
        ("none", true, |_| {}),
        ("the window has moved", false, |shared| shared.window().deliver(name(9))),
        ("the prefetcher ends", false, |shared| shared.window().close()),
    ];
    for (what, is_wanted, end) in ends {
        let running = Running::start(Duration::ZERO).await;
        running.connect().await;
        let mut window = Window::new(name(2), running.data.segment_size, 2);
        let (next, fetch) = window.next().unwrap();
        let shared = Arc::new(Shared::new(window, running.spool.clone()));
        let path = running.spool.segment(next);
        let staged = StagedFile::for_target(&path).unwrap();
        end(&shared);
        assert_eq!(shared.publish(next, &fetch, staged).unwrap(), is_wanted, "{what}");
        assert_eq!(path.exists(), is_wanted, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_hands_over_nothing_and_ends_when_the_repository_of_this_name_is_at_another_place() {
    let running = Running::start(Duration::ZERO).await;
    running.connect().await;
    let storage = running.repository.storage().clone().with_configuration("another endpoint".to_owned());
    let other = Repository::new(storage, "a test", Arc::new(SystemClock));
    let spool = Spool::new(&running.scratch.path().join("spool"), &other, &running.data).unwrap();
    assert_eq!(spool.path(), running.spool.path());
    let began = Instant::now();
    let prefetcher = Prefetcher::connect(&spool).await.unwrap();
    assert!(!prefetcher.take(&spool, &running.data, name(2), &running.target(), &|_| None).await.unwrap());
    running.prefetcher.await.unwrap().unwrap();
    assert!(began.elapsed() < IDLE, "{:?}", began.elapsed());
}
