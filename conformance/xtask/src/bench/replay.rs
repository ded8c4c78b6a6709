//! Measures how fast restore-wal returns segments, in the calls of PostgreSQL's recovery, one after the other.
//!
//! A server would replay each segment between two calls, and what is fetched ahead would be fetched meanwhile: here nothing
//! hides it. The processes in the background, swiftwal's and pgBackRest's, aren't waited for, so their CPU time isn't in
//! the figures.

use anyhow::Result;

use super::Bench;
use super::beside::Peer;
use super::measure::Job;
use super::swift::DELAY;
use super::table::{Limits, Row};

/// How many calls for segments that are in the spool are measured: as many as are fetched ahead.
const CALLS: u32 = 16;
/// After so many calls, as many are fetched ahead.
const STARTS: u32 = 6;

/// A storage that segments are fetched from.
struct Storage {
    name: &'static str,
    /// The program, in any directory.
    swiftwal: &'static str,
}

const FILE: Storage =
    Storage { name: "a directory", swiftwal: "$scratch/swiftwal --repository file://$scratch/replayed" };
/// Uses the files that [`start`](super::swift::start) writes.
const SWIFT: Storage =
    Storage { name: "Swift", swiftwal: "$scratch/swiftwal -c $scratch/v1.conf -C replayed" };
const FAR_SWIFT: Storage =
    Storage { swiftwal: "$scratch/swiftwal -c $scratch/far.conf -C replayed", ..SWIFT };

/// Ends the process of an earlier run, and creates the directory of a server in recovery, as restore-wal sees it.
const RECOVER: &str = "rm -rf replay
    while [ -n \"$(ls -A .local/state/swiftwal/spool 2> /dev/null)\" ]; do sleep 0.1; done
    mkdir -p replay/global replay/pg_wal
    cp data/PG_VERSION data/postmaster.pid replay/
    cp data/global/pg_control replay/global/
    sync";

impl Bench {
    /// Measures fetching a backlog from a directory, and the calls for segments that are in the spool.
    pub(crate) fn replay(&self) -> Result<Vec<Row>> {
        let segments = self.prepare_replay(&FILE)?;
        self.once(&each("zstd -1 -q -f -o plain-wal/$name.zst segments/$name"))?;
        let mut peers = vec![Peer {
            tool: "zstd -dc FILE, one after the other".to_owned(),
            job: Job::new(RECOVER, each("zstd -dcq plain-wal/$name.zst > replay/pg_wal/RECOVERYXLOG")),
            wall: Some(1.2),
        }];
        if let Some(pgbackrest) = &self.pgbackrest {
            let command = pgbackrest.command_line();
            let push = each(&format!("{command} archive-push $PWD/segments/$name"));
            self.once(&format!("rm -rf pgbackrest; {command} stanza-create; {push}"))?;
            let before = format!(
                "while ls pgbackrest-lock/*.lock > /dev/null 2>&1; do sleep 0.1; done
                rm -rf pgbackrest-spool
                {RECOVER}"
            );
            let get = format!(
                "{command} --pg1-path=$PWD/replay --archive-async archive-get $name $PWD/replay/pg_wal/RECOVERYXLOG"
            );
            peers.push(Peer {
                tool: format!("{} archive-get, asynchronous, process-max=2", pgbackrest.version()),
                job: Job::new(before, each(&get)),
                wall: Some(0.85),
            });
        }
        let mut rows = self.replay_from(&FILE, segments, "", &peers)?;
        rows.push(self.fetched_ahead(&FILE)?);
        Ok(rows)
    }

    /// As [`replay`](Self::replay), from Swift, with and without a delay.
    pub(crate) fn replay_from_swift(&self) -> Result<Vec<Row>> {
        let segments = self.prepare_replay(&SWIFT)?;
        self.once(&format!(
            "source ./v1.sh; {}",
            each("zstd -1 -q -c segments/$name | swift plain/$name.zst -T -")
        ))?;
        let get = each("swift plain/$name.zst | zstd -dcq > replay/pg_wal/RECOVERYXLOG");
        let curl = Peer {
            tool: "curl URL | zstd -dc, one after the other".to_owned(),
            job: Job::new(RECOVER, format!("source ./v1.sh; {get}")),
            wall: None,
        };
        let near =
            Peer { tool: "the same without the delay".to_owned(), job: SWIFT.replay(), wall: Some(1.1) };
        let delayed = format!(", {} ms for each request", DELAY.as_millis());
        let mut rows = self.replay_from(&SWIFT, segments, "", &[curl])?;
        rows.extend(self.replay_from(&FAR_SWIFT, segments, &delayed, &[near])?);
        rows.push(self.fetched_ahead(&SWIFT)?);
        Ok(rows)
    }

    /// Archives the backlog.
    fn prepare_replay(&self, storage: &Storage) -> Result<usize> {
        let segments = self.prepare_backlog()?;
        let archive = each(&format!("{} archive-wal segments/$name", storage.swiftwal));
        self.once(&format!("mkdir -p replayed plain-wal; scratch=$PWD; {archive}"))?;
        Ok(segments)
    }

    fn replay_from(&self, storage: &Storage, segments: usize, how: &str, peers: &[Peer]) -> Result<Vec<Row>> {
        let job = format!("restore-wal of {segments} segments from {}{how}", storage.name);
        let limits = Limits { rss_mib: Some(48.0), ..Limits::default() };
        self.beside(&job, &storage.replay(), &limits, peers)
    }

    /// Measures the calls when the process that fetches ahead has nothing to do any more.
    fn fetched_ahead(&self, storage: &Storage) -> Result<Row> {
        // As PostgreSQL does: it gives the segment its name.
        let restore = |prefix: &str| {
            format!(
                "{prefix} {} restore-wal $name pg_wal/RECOVERYXLOG
                mv pg_wal/RECOVERYXLOG pg_wal/$name",
                storage.swiftwal
            )
        };
        let spooled = "until [ -e ../.local/state/swiftwal/spool/*/$name ]; do sleep 0.02; done";
        // The first call starts the process, which fetches all of the last segments after a few more.
        let before = format!(
            "{RECOVER}
            scratch=$PWD; cd replay
            for name in $(tail -n {} ../backlog | head -n {STARTS}); do
                {}
                name=$(grep -A 1 $name ../backlog | tail -n 1)
                {spooled}
            done
            name=$(tail -n 1 ../backlog)
            {spooled}
            sync",
            STARTS + CALLS,
            restore("")
        );
        let script = format!(
            "scratch=$PWD; cd replay
            for name in $(tail -n {CALLS} ../backlog); do {}; done",
            restore("call")
        );
        self.calls(
            &format!("restore-wal of a segment that was fetched ahead from {}", storage.name),
            &Job::new(before, script).repeats(CALLS),
            Limits { call_ms: Some(5.0), ..Limits::default() },
        )
    }
}

impl Storage {
    fn replay(&self) -> Job {
        let script = format!(
            "scratch=$PWD; cd replay
            for name in $(cat ../backlog); do {} restore-wal $name pg_wal/RECOVERYXLOG; done",
            self.swiftwal
        );
        Job::new(RECOVER, script)
    }
}

/// A loop that runs the command for each segment of the backlog, whose name is `$name`.
fn each(command: &str) -> String {
    format!("for name in $(cat backlog); do {command}; done")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_swiftwal_does_the_same_work() {
        for storage in [FILE, SWIFT, FAR_SWIFT] {
            assert!(storage.replay().before().is_some(), "{}", storage.swiftwal);
        }
    }
}
