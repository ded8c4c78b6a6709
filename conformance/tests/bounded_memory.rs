//! A backup of very many files is made, restored and pruned in memory that doesn't grow with their number.
//!
//! The only test of its process, since it measures the memory of that. With `SWIFTWAL_TEST_LARGE` set, as
//! `cargo xtask test --large` does, there are five million files.

use std::{fs, future::pending, num::NonZeroU32, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use swiftwal_compression::Codec;
use swiftwal_conformance::SyntheticCluster;
use swiftwal_core::{
    BackupChoice, BackupOptions, Options, PrunePolicy, Repository, RestoreOptions, SystemClock, backup,
    plan_prune, prune, restore,
};
use swiftwal_postgres::Checkpoint;

/// The promise for a backup or a restore.
const MOST_MIB: u64 = 256;
/// How much the memory may grow from few files to many. The names of the many alone would have more.
const MOST_GROWTH_MIB: u64 = 12;

const FEW: u64 = 50_000;
const MANY: u64 = 250_000;
const MILLIONS: u64 = 5_000_000;

#[tokio::test]
async fn the_number_of_files_does_not_count() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    // What runs at the same time is in memory from the beginning.
    run(scratch.path(), FEW).await?;
    let before = peak_mib()?;
    let many = if is_large() { MILLIONS } else { MANY };
    run(scratch.path(), many).await?;
    let peak = peak_mib()?;
    eprintln!("{FEW} files: {before} MiB, {many} files: {peak} MiB");
    assert!(peak <= before + MOST_GROWTH_MIB, "{before} MiB with {FEW} files, and {peak} MiB with {many}");
    assert!(peak <= MOST_MIB, "{peak} MiB");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
fn is_large() -> bool {
    std::env::var_os("SWIFTWAL_TEST_LARGE").is_some()
}

/// Backs up, restores, backs up again, and prunes the first backup.
async fn run(scratch: &Path, files: u64) -> Result<()> {
    let directory = scratch.join(format!("{files}-files"));
    let url = format!("file://{}", directory.display()).parse()?;
    let storage =
        swiftwal_backends::registry().open(&url, &Options { create: true, ..Options::default() })?;
    let repository = Repository::new(storage, url, Arc::new(SystemClock));
    let source = SyntheticCluster::new(1).backup(3, 4).crowded(files);
    let first = backup(&repository, &source, &options(), &|_| {}, pending()).await?;
    let data = scratch.join("data");
    let choice = BackupChoice::Key(first.key);
    let restored = restore(&repository, choice, &data, &RestoreOptions::default(), &|_| {}).await?;
    assert!(restored.files > files, "{restored:?}");
    fs::remove_dir_all(data)?;

    let second = backup(&repository, &source, &options(), &|_| {}, pending()).await?;
    let policy = PrunePolicy { keep_backups: NonZeroU32::MIN, keep_wals: 0 };
    let plan = plan_prune(&repository, &policy).await?;
    prune(&repository, &plan).await?;
    let kept = repository.inventory().await?;
    assert_eq!(kept.backups.iter().map(|backup| backup.key).collect::<Vec<_>>(), [second.key]);
    Ok(())
}

fn options() -> BackupOptions {
    BackupOptions {
        label: "many files".to_owned(),
        checkpoint: Checkpoint::Fast,
        include_wal: true,
        codec: Codec::default(),
        archive_timeout: Duration::from_secs(60),
        estimate_size: false,
    }
}

/// The most memory that this process has had so far.
fn peak_mib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}
