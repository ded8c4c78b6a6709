//! The prefetcher's waits, in time that passes by itself.

use std::{path::Path, process, sync::Arc};

use object_store::{
    PutMode,
    memory::InMemory,
    throttle::{ThrottleConfig, ThrottledStore},
};
use swiftwal_compression::{Codec, Format, compress_frame};
use tempfile::TempDir;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::{
    local::clock::SystemClock, repository::layout::ObjectName, restore_wal::prefetched::Prefetcher,
    storage::Storage,
};

const SEGMENT_BYTES: u32 = 1 << 20;
const SYSTEM_IDENTIFIER: u64 = 7;

fn name(number: u32) -> SegmentName {
    format!("0000000100000000{number:08X}").parse().unwrap()
}

/// Source: `XLogLongPageHeaderData` in PostgreSQL's `src/include/access/xlog_internal.h`.
fn segment(number: u32) -> Vec<u8> {
    let mut segment = [
        &0xD110_u16.to_ne_bytes()[..],
        &2_u16.to_ne_bytes(),
        &1_u32.to_ne_bytes(),
        &(u64::from(number) * u64::from(SEGMENT_BYTES)).to_ne_bytes(),
        &[0; 8],
        &SYSTEM_IDENTIFIER.to_ne_bytes(),
        &SEGMENT_BYTES.to_ne_bytes(),
        &8192_u32.to_ne_bytes(),
    ]
    .concat();
    segment.resize(SEGMENT_BYTES as usize, number as u8);
    segment
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

/// A prefetcher behind a storage that takes some time for each answer.
struct Running {
    scratch: TempDir,
    data: DataDirectory,
    spool: Spool,
    prefetcher: JoinHandle<Result<()>>,
}

impl Running {
    /// Stores the segments 1 and 2, of which the first was delivered.
    async fn start(delay: Duration) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let config = ThrottleConfig { wait_get_per_call: delay, ..ThrottleConfig::default() };
        let storage = Storage::new(Arc::new(ThrottledStore::new(InMemory::new(), config)));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        for number in 1..=2 {
            let object = ObjectName::Wal { name: WalName::Segment(name(number)), format: Format::Zstd };
            let content = compress_frame(Codec::default(), &segment(number)).unwrap();
            repository.put(&object, content.into(), PutMode::Create).await.unwrap();
        }
        let data = data_directory(&scratch.path().join("data"));
        let spool = Spool::new(&scratch.path().join("spool"), &repository, &data).unwrap();
        let prefetcher = tokio::spawn({
            let (spool, data) = (spool.clone(), data.clone());
            let two = NonZeroUsize::new(2).unwrap();
            let options = PrefetchOptions { jobs: two, segments: two };
            async move { prefetch_wal(&repository, &spool, &data, name(1), &options).await }
        });
        Self { scratch, data, spool, prefetcher }
    }

    /// Asks for the segment 2. Returns whether it was taken, and after how long.
    async fn take(&self, limit: Duration) -> (bool, Duration) {
        let began = Instant::now();
        let prefetcher = loop {
            match Prefetcher::connect(&self.spool).await {
                Some(prefetcher) => break prefetcher,
                None => yield_now().await,
            }
        };
        let target = self.scratch.path().join("RECOVERYXLOG");
        let taken = prefetcher.take(&self.spool, &self.data, name(2), &target, limit).await.unwrap();
        assert!(!taken || fs::read(target).unwrap() == segment(2));
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
        let target = running.scratch.path().join("RECOVERYXLOG");
        let taken = prefetcher.take(&running.spool, &running.data, name(3), &target, LONG).await;
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
async fn no_wait_is_longer_than_its_limit() {
    let limit = Duration::from_secs(1);
    let (taken, took) = Running::start(LONG).await.take(limit).await;
    assert!(!taken && took <= limit + REASSURANCE, "{took:?}");
}
