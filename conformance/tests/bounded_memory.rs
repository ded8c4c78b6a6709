//! A backup of very many files is taken, restored and pruned in memory that doesn't grow with their number.
//!
//! These tests are a separate process, since they measure its memory: what is allocated, and what the process has of
//! the machine. The second also contains what the system's allocator keeps for each thread, which depends on how the
//! threads took turns; so only the first says whether memory grows with the files.

use std::{fs, future::pending, num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use peak_alloc::PeakAlloc;
use swiftwal_compression::Codec;
use swiftwal_conformance::SyntheticCluster;
use swiftwal_core::{
    BackupChoice, BackupMode, BackupOptions, Options, PrunePolicy, Repository, RestoreOptions, SystemClock,
    backup, plan_prune, prune, restore,
};
use swiftwal_postgres::Checkpoint;
use tokio::sync::Mutex;

/// The documented memory limit of a backup or a restore.
const MOST_MIB: u64 = 256;
/// How many bytes more may be allocated at once with many files than with few, for each of the files that are more. A
/// name and a hash are more than this.
const MOST_GROWTH_PER_FILE: usize = 64;

/// Enough to keep every core busy.
const FEW: u64 = 60_000;
const MANY: u64 = 200_000;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// One test at a time: they measure the memory of the process.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn the_memory_for_a_backup_does_not_grow_with_its_files() -> Result<()> {
    let _turn = TURN.lock().await;
    let scratch = tempfile::tempdir()?;
    let few = allocated_for(scratch.path(), FEW).await?;
    let many = allocated_for(scratch.path(), MANY).await?;
    eprintln!("{} KiB with {FEW} files, {} KiB with {MANY}", few >> 10, many >> 10);
    let growth = many.saturating_sub(few) / usize::try_from(MANY - FEW)?;
    assert!(growth < MOST_GROWTH_PER_FILE, "{growth} bytes for each file");
    let peak = peak_mib()?;
    assert!(peak <= MOST_MIB, "{peak} MiB");
    Ok(())
}

mod long {
    use super::*;

    #[tokio::test]
    #[ignore = "takes minutes: run by cargo xtask test --long"]
    async fn five_million_files_need_no_more_than_was_promised() -> Result<()> {
        let _turn = TURN.lock().await;
        run(tempfile::tempdir()?.path(), 5_000_000).await?;
        let peak = peak_mib()?;
        eprintln!("{peak} MiB");
        assert!(peak <= MOST_MIB, "{peak} MiB");
        Ok(())
    }
}

/// Returns how many bytes were allocated at most at one time while this number of files was backed up and restored.
async fn allocated_for(scratch: &Path, files: u64) -> Result<usize> {
    ALLOCATED.reset_peak_usage();
    run(scratch, files).await?;
    Ok(ALLOCATED.peak_usage())
}

/// Backs up this number of files, restores them, and prunes their backup.
async fn run(scratch: &Path, files: u64) -> Result<()> {
    let directory = scratch.join(format!("{files}-files"));
    let url = format!("file://{}", directory.display()).parse()?;
    let storage =
        swiftwal_backends::registry().open(&url, &Options { create: true, ..Options::default() })?;
    let repository = Repository::new(storage, url, Arc::new(SystemClock));
    let source = SyntheticCluster::new(1).backup(3, 4);
    let first = backup(&repository, &source.clone().crowded(files), &options(), &|_| {}, pending()).await?;
    let data = scratch.join("data");
    let choice = BackupChoice::Key(first.key);
    let restored = restore(&repository, choice, &data, &RestoreOptions::default(), &|_| {}).await?;
    assert!(restored.files > files, "{restored:?}");
    fs::remove_dir_all(data)?;

    let second = backup(&repository, &source, &options(), &|_| {}, pending()).await?;
    let policy = PrunePolicy::newest(NonZeroU32::MIN);
    let plan = plan_prune(&repository, &policy).await?;
    prune(&repository, &plan).await?;
    let kept = repository.inventory().await?;
    assert_eq!(kept.backups.iter().map(|backup| backup.key).collect::<Vec<_>>(), [second.key]);
    Ok(())
}

fn options() -> BackupOptions {
    BackupOptions {
        label: "many files".to_owned(),
        mode: BackupMode::Full,
        checkpoint: Checkpoint::Fast,
        include_wal: true,
        codec: Codec::default(),
        archive_timeout: Duration::from_secs(60),
        copy: swiftwal_postgres::CopyOptions::default(),
        estimate_size: false,
    }
}

/// Returns the most memory that this process has had so far.
fn peak_mib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}
