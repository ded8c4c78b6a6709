//! A server in recovery, as restore-wal sees it, and the processes that fetch WAL ahead for it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};
use swiftwal_conformance::SyntheticCluster;
use xtask::until;

use crate::site::{Ran, Site, run};

/// A server in recovery that replays what an archive contains.
pub(crate) struct Recovery {
    pub(crate) site: Site,
    pub(crate) cluster: SyntheticCluster,
    /// The directory of the spools.
    pub(crate) spool: PathBuf,
    /// More options of restore-wal.
    pub(crate) options: Vec<&'static str>,
}

impl Recovery {
    pub(crate) fn new() -> Self {
        Self::of(SyntheticCluster::new(1), None)
    }

    /// Archives the segments 1 to 9 of a cluster. The spools are in the given directory, or that of the state directory.
    pub(crate) fn of(cluster: SyntheticCluster, spool: Option<&Path>) -> Self {
        let recovery = Self::without_archive(cluster, spool);
        for number in 1..=9 {
            recovery.archive(number, &recovery.cluster.segment(number));
        }
        recovery
    }

    /// As [`of`](Self::of), but archives nothing.
    pub(crate) fn without_archive(cluster: SyntheticCluster, spool: Option<&Path>) -> Self {
        let site = Site::new();
        let spool = spool.map_or_else(|| site.path("state/swiftwal/spool"), Path::to_owned);
        let recovery = Self { site, cluster, spool, options: Vec::new() };
        recovery.cluster.run_in(&recovery.data()).unwrap();
        recovery
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.site.path("data")
    }

    pub(crate) fn archive(&self, number: u64, content: &[u8]) {
        let path = self.site.write(&format!("server/{}", self.name(number)), content);
        self.site.succeed(&["archive-wal", "--force", path.to_str().unwrap()]);
    }

    pub(crate) fn name(&self, number: u64) -> String {
        self.cluster.segment_name(number).to_string()
    }

    /// Returns the restore_command in which `%f` and `%p` are these.
    pub(crate) fn command(&self, name: &str, path: &str) -> Command {
        let mut command = self.site.command(&["restore-wal"]);
        command
            .current_dir(self.data())
            .arg("--spool")
            .arg(&self.spool)
            .args(&self.options)
            .args([name, path]);
        command
    }

    pub(crate) fn ask(&self, number: u64) -> Ran {
        run(&mut self.command(&self.name(number), "pg_wal/RECOVERYXLOG"))
    }

    /// Fetches a segment as PostgreSQL does. Returns what restore-wal says.
    pub(crate) fn replay(&self, number: u64) -> String {
        self.replay_as(number, &self.cluster.segment(number))
    }

    pub(crate) fn replay_as(&self, number: u64, content: &[u8]) -> String {
        let ran = self.ask(number);
        let path = self.data().join("pg_wal/RECOVERYXLOG");
        assert_eq!(ran.code, 0, "{number}: {ran:?}");
        assert!(fs::read(&path).unwrap() == content, "{number} has other content: {ran:?}");
        fs::remove_file(path).unwrap();
        ran.stderr
    }

    /// Returns the path of a file in the spool.
    pub(crate) fn spooled(&self, name: &str) -> PathBuf {
        let spools: Vec<_> = fs::read_dir(&self.spool).into_iter().flatten().flatten().collect();
        spools.first().map_or_else(|| self.spool.join("no spool"), |spool| spool.path().join(name))
    }

    /// Waits until the segment is in the spool.
    pub(crate) fn wait_for(&self, number: u64) -> PathBuf {
        until("the segment is in the spool", || Ok(self.spooled(&self.name(number)).exists())).unwrap();
        self.spooled(&self.name(number))
    }

    /// Waits until the segment is in one of the spools, of which there may be several.
    pub(crate) fn wait_until_in_any_spool(&self, number: u64) {
        until("the segment is in a spool", || {
            let spools = fs::read_dir(&self.spool)?.flatten();
            Ok(spools.filter(|spool| spool.path().join(self.name(number)).exists()).count() > 0)
        })
        .unwrap();
    }

    /// Replaces the archived segment, so that only the spool has the right one.
    pub(crate) fn spoil_archive(&self, number: u64) {
        fs::write(self.site.object(&format!("wal_{}.zst", self.name(number))), "").unwrap();
    }

    /// The processes that fetch ahead into the spool.
    pub(crate) fn prefetchers(&self) -> Vec<Pid> {
        let is_ours = |pid: &i32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words: Vec<_> = command.split(|byte| *byte == 0).collect();
            words.contains(&&b"prefetch-wal"[..])
                && words.contains(&self.spool.as_os_str().as_encoded_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(is_ours).filter_map(Pid::from_raw).collect()
    }

    pub(crate) fn prefetcher(&self) -> Pid {
        let mut found = None;
        until("a prefetcher is alive", || {
            found = self.prefetchers().first().copied();
            Ok(found.is_some())
        })
        .unwrap();
        found.unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        for pid in self.prefetchers() {
            let _ = kill_process(pid, signal);
        }
    }

    pub(crate) fn wait_for_end(&self) {
        until("the prefetcher has ended", || Ok(self.prefetchers().is_empty())).unwrap();
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
