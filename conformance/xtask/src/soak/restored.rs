//! The restored server, which replays WAL while its prefetcher is killed.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, ensure};
use fastrand::Rng;
use xtask::{Process, Site, until};

use super::Totals;

/// The most milliseconds between two looks for a prefetcher to kill.
const MOST_PAUSE: u64 = 500;

/// Restores the newest backup, and compares the rows.
pub(super) fn compare_rows(
    site: &Site,
    options: &[&str],
    rows: &(u64, String),
    rng: &mut Rng,
    totals: &mut Totals,
) -> Result<()> {
    let restored = site.restore("restored", "latest", &[&["--archive-mode", "off"], options].concat())?;
    let settings = restored.data().join("postgresql.auto.conf");
    let text = fs::read_to_string(&settings)?;
    ensure!(text.contains(" restore-wal "), "{text}");
    fs::write(&settings, text.replace(" restore-wal ", " -v restore-wal "))?;
    restored.start()?;
    until("recovery has ended", || {
        if rng.bool() {
            for prefetcher in prefetchers(site.scratch.path())? {
                prefetcher.kill();
                totals.prefetchers += 1;
            }
        }
        sleep(Duration::from_millis(rng.u64(..MOST_PAUSE)));
        Ok(restored.sql("select pg_is_in_recovery()")? == "f")
    })?;
    totals.fetched_ahead += restored.log()?.matches(" was fetched ahead").count();
    let found = restored.rows()?;
    ensure!(found == *rows, "{} rows were written, and {} restored", rows.0, found.0);
    Ok(())
}

/// Returns the processes that fetch WAL ahead for servers in the directory.
fn prefetchers(scratch: &Path) -> Result<Vec<Process>> {
    let is_ours = |pid: &i32| {
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = command.split('\0');
        words.any(|word| word == "prefetch-wal") && words.any(|word| Path::new(word).starts_with(scratch))
    };
    let entries = fs::read_dir("/proc")?.flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours);
    Ok(ids.filter_map(|id| Process::of(id).ok()).collect())
}
