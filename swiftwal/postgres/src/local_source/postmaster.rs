//! The file in which a running server says which process it is.

use std::path::Path;

use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

/// How much later than the process the server begins to work: it reserves memory and loads libraries before.
const START_SECONDS: u64 = 600;

/// The beginning of `postmaster.pid`.
///
/// Source: PostgreSQL's `src/include/utils/pidfile.h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Postmaster {
    pid: Pid,
    /// When the process started, in seconds since 1970.
    started: i64,
}

impl Postmaster {
    /// Parses the file's text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)?;
        let started = lines.nth(1)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Reads the file of a data directory.
    pub(super) fn read(directory: &Path) -> std::io::Result<Option<Self>> {
        Ok(Self::parse(&std::fs::read_to_string(directory.join("postmaster.pid"))?))
    }

    /// Whether the process runs on this host, and started when the server says that it did.
    pub(super) fn is_server_that_started(&self, started: i64) -> bool {
        self.started.abs_diff(started) <= START_SECONDS && self.is_running()
    }

    fn is_running(&self) -> bool {
        // Of another user's process, only that it exists can be seen.
        matches!(test_kill_process(self.pid), Ok(()) | Err(Errno::PERM))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pid: u32) -> String {
        format!("{pid}\n/var/lib/postgresql/15/main\n1795948572\n5432\n/var/run/postgresql\n*\n")
    }

    #[test]
    fn the_server_is_a_running_process_with_its_start_time() {
        let this = Postmaster::parse(&file(std::process::id())).unwrap();
        assert!(this.is_server_that_started(1_795_948_574));
        assert!(!this.is_server_that_started(1_795_949_574));
        // Larger than any process number of Linux.
        let other = Postmaster::parse(&file(1 << 30)).unwrap();
        assert!(!other.is_server_that_started(1_795_948_574));
    }

    #[test]
    fn a_file_that_no_server_writes_names_none() {
        for text in ["", "7", "-7\n/data\n1\n", "x\n/data\n1\n", "7\n/data\nx\n"] {
            assert_eq!(Postmaster::parse(text), None, "{text}");
        }
    }
}
