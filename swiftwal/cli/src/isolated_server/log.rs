//! The log of the server: how long each phase took, and the last lines for a message.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
    time::Duration,
};

use swiftwal_postgres::printable;

/// The last lines that are kept.
const LAST_LINES: usize = 8;
/// How much of each of them.
const LINE_CHARACTERS: usize = 400;

/// What restore-wal says if WAL can't be fetched because it isn't stored as it should be.
const WAL_FAULTS: [&str; 2] = [" is missing in ", " is damaged: "];

/// What PostgreSQL can't do, in English, when replay creates a tablespace: one elsewhere, or an in-place one.
const CREATING_TABLESPACES: [&str; 2] =
    ["could not create symbolic link \"pg_tblspc/", "could not create directory \"pg_tblspc/"];

/// What PostgreSQL says, in English, if this machine lacks something that the original server's has, or has too little.
const OF_THIS_MACHINE: [&str; 8] = [
    "could not access file \"",
    "could not load library \"",
    "could not open extension control file \"",
    "must be loaded via shared_preload_libraries",
    "is not recognized by setlocale",
    "could not create shared memory segment",
    "could not resize shared memory segment",
    "No space left on device",
];

/// Whether an error message of PostgreSQL is about this machine rather than about the data.
pub(crate) fn is_of_this_machine(message: &str) -> bool {
    OF_THIS_MACHINE.iter().any(|text| message.contains(text))
}

/// What the log says about a start with recovery. Each line begins with the time in seconds and the process: `%n %p `.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ServerLog {
    began: Option<f64>,
    recovered: Option<f64>,
    ready: Option<f64>,
    /// Whether recovery stopped at its target.
    pub(crate) has_reached_target: bool,
    /// Whether the WAL wanted to create a tablespace, which was prevented.
    pub(crate) creates_tablespace: bool,
    /// Whether swiftwal said that WAL is missing or damaged.
    pub(crate) lacks_wal: bool,
    /// Whether this machine or the storage is the reason why the server ended, as far as the log says.
    pub(crate) is_no_fault_of_the_backup: bool,
    /// The commit time of the last transaction that was replayed, as the server writes it.
    pub(crate) last_transaction: Option<String>,
    last: VecDeque<String>,
}

impl ServerLog {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        Self::parse(BufReader::new(File::open(path)?))
    }

    fn parse(mut lines: impl BufRead) -> io::Result<Self> {
        let mut log = Self::default();
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            log.add(&String::from_utf8_lossy(&line));
            line.clear();
        }
        Ok(log)
    }

    fn add(&mut self, line: &str) {
        let (time, text) = without_prefix(line.trim_end());
        self.began = self.began.or(time);
        self.lacks_wal |=
            text.starts_with("swiftwal: ") && WAL_FAULTS.iter().any(|fault| text.contains(fault));
        self.is_no_fault_of_the_backup |=
            is_of_this_machine(text) || text.contains("could not restore file \"");
        if text.contains("archive recovery complete") {
            self.recovered = time;
        } else if text.contains("database system is ready to accept connections") {
            self.ready = time;
        } else if text.contains("recovery stopping ") {
            self.has_reached_target = true;
        } else if CREATING_TABLESPACES.iter().any(|action| text.contains(action)) {
            self.creates_tablespace = true;
        } else if let Some((_, time)) = text.split_once("last completed transaction was at log time ") {
            self.last_transaction = Some(printable(time).to_string());
        }
        if !text.is_empty() {
            self.last.push_back(printable(text).to_string().chars().take(LINE_CHARACTERS).collect());
        }
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
    }

    /// Returns how long recovery took.
    pub(crate) fn replay(&self) -> Option<Duration> {
        between(self.began?, self.recovered?)
    }

    /// Returns the time from the end of recovery until the server accepted connections.
    pub(crate) fn start(&self) -> Option<Duration> {
        between(self.recovered?, self.ready?)
    }

    /// Returns the last lines.
    pub(crate) fn last_lines(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

fn between(from: f64, to: f64) -> Option<Duration> {
    Duration::try_from_secs_f64((to - from).max(0.0)).ok()
}

/// Splits a line into its time and what follows the process. Commands that the server runs write lines without them.
fn without_prefix(line: &str) -> (Option<f64>, &str) {
    let split = || {
        let (time, rest) = line.split_once(' ')?;
        let (process, text) = rest.split_once(' ')?;
        process.parse::<u32>().ok()?;
        Some((time.parse().ok()?, text))
    };
    split().map_or((None, line), |(time, text): (f64, _)| (Some(time), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_those_of_the_servers_lines() {
        let text = "1764491234.500 7 LOG:  starting PostgreSQL 15\n\
                    swiftwal: 00000002.history is not in file:///backup\n\
                    1764491236.000 9 LOG:  recovery stopping before commit of transaction 748, time 2026\n\
                    1764491236.100 9 LOG:  last completed transaction was at log time 2026-11-30 08:00:00.1+00\n\
                    1764491237.000 9 LOG:  archive recovery complete\n\
                    1764491237.250 7 LOG:  database system is ready to accept connections\n";
        let log = ServerLog::parse(text.as_bytes()).unwrap();
        assert_eq!(log.replay(), Some(Duration::from_millis(2500)));
        assert_eq!(log.start(), Some(Duration::from_millis(250)));
        assert!(log.has_reached_target && !log.creates_tablespace);
        assert_eq!(log.last_transaction.as_deref(), Some("2026-11-30 08:00:00.1+00"));
        assert!(log.last_lines().starts_with("LOG:  starting PostgreSQL 15\nswiftwal: 00000002.history"));
    }

    #[test]
    fn of_a_long_log_the_end_is_kept_and_what_a_terminal_would_act_on_is_escaped() {
        let text = format!("{}1764491234.5 7 FATAL:  \u{1b}[2J\n", "1764491234.5 7 LOG:  x\n".repeat(100));
        let log = ServerLog::parse(text.as_bytes()).unwrap();
        assert_eq!(log.last_lines().lines().count(), LAST_LINES);
        assert!(log.last_lines().ends_with("LOG:  x\nFATAL:  \\x1b[2J"), "{}", log.last_lines());
        assert_eq!((log.replay(), log.start()), (None, None));
    }
}
