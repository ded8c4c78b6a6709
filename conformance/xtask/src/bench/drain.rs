//! Measures how fast archive-wal stores a backlog of segments, in the calls of PostgreSQL's archiver, one after the other.

use anyhow::Result;

use super::Bench;
use super::beside::Peer;
use super::measure::Job;
use super::swift::DELAY;
use super::table::{Limits, Row};

/// How many calls for files that were archived ahead are measured.
const CALLS: u32 = 20;

/// A storage that a backlog is drained to.
struct Storage {
    name: &'static str,
    /// The program, in any directory.
    swiftwal: &'static str,
    /// A script that begins a new repository.
    anew: &'static str,
}

const FILE: Storage = Storage {
    name: "a directory",
    swiftwal: "$scratch/swiftwal --repository file://$scratch/drained",
    anew: "rm -rf drained plain .local/state/swiftwal && mkdir drained plain",
};
/// Uses the files that [`start`](super::swift::start) writes.
const SWIFT: Storage = Storage {
    name: "Swift",
    swiftwal: "$scratch/swiftwal -c $scratch/v1.conf --repository swift://drained/$(cat $scratch/run)",
    anew: "date +%s%N > run",
};
const FAR_SWIFT: Storage = Storage {
    swiftwal: "$scratch/swiftwal -c $scratch/far.conf --repository swift://drained/$(cat $scratch/run)",
    ..SWIFT
};

/// Enters the directory, and is its server: archive-wal must have been started by that.
const SERVE: &str = "cd server; echo $$ > postmaster.pid";

/// Creates the data directory of a server in which the segments of the backlog wait.
const WAIT: &str = "rm -rf server && mkdir -p server/global server/pg_wal/archive_status
    cp data/global/pg_control server/global/
    for name in $(cat backlog); do
        cp segments/$name server/pg_wal/
        touch -d '1 minute ago' server/pg_wal/$name
        touch server/pg_wal/archive_status/$name.ready
    done";

impl Bench {
    /// Measures draining the backlog, and the calls for files that were archived ahead.
    pub(crate) fn drain(&self) -> Result<Vec<Row>> {
        let zstd = "cat backlog |
            xargs -P2 -I{} sh -c 'zstd -1 -q -o plain/{}.zst segments/{} && sync plain/{}.zst'";
        let mut peers = vec![Peer {
            tool: "zstd -1 -o FILE SEGMENT && sync FILE, by xargs -P2".to_owned(),
            job: Job::new(format!("{}; sync", FILE.anew), zstd.to_owned()),
            wall: Some(1.0),
        }];
        if let Some(pgbackrest) = &self.pgbackrest {
            let command = pgbackrest.command_line();
            let before = format!(
                "rm -rf pgbackrest pgbackrest-spool
                {command} stanza-create
                {WAIT}
                sync"
            );
            peers.push(Peer {
                tool: format!("{} archive-push, asynchronous, process-max=2", pgbackrest.version()),
                job: Job::new(
                    before,
                    drain(&format!("{command} --pg1-path=$PWD --archive-async archive-push pg_wal/$name")),
                ),
                wall: Some(0.8),
            });
        }
        let mut rows = self.drain_to(&FILE, "", &peers)?;
        rows.push(self.archived_ahead(&FILE)?);
        Ok(rows)
    }

    /// As [`drain`](Self::drain), to Swift, with and without a delay.
    pub(crate) fn drain_to_swift(&self) -> Result<Vec<Row>> {
        let curl = "source ./v1.sh; export -f swift
            cat backlog | xargs -P4 -I{} bash -c 'zstd -1 -q -c segments/{} | swift plain/$(cat run)/{}.zst -T -'";
        let curl = Peer {
            tool: "zstd -1 -c SEGMENT | curl -T - URL, by xargs -P4".to_owned(),
            job: Job::new(SWIFT.anew, curl.to_owned()),
            wall: Some(0.9),
        };
        let near =
            Peer { tool: "the same without the delay".to_owned(), job: SWIFT.drain(), wall: Some(1.15) };
        let delayed = format!(", {} ms for each request", DELAY.as_millis());
        let mut rows = self.drain_to(&SWIFT, "", &[curl])?;
        rows.extend(self.drain_to(&FAR_SWIFT, &delayed, &[near])?);
        rows.push(self.archived_ahead(&SWIFT)?);
        Ok(rows)
    }

    fn drain_to(&self, storage: &Storage, how: &str, peers: &[Peer]) -> Result<Vec<Row>> {
        let segments = self.prepare_backlog()?;
        let job = format!("archive-wal of {segments} segments that wait, to {}{how}", storage.name);
        self.beside(&job, &storage.drain(), &Limits::default(), peers)
    }

    fn archived_ahead(&self, storage: &Storage) -> Result<Row> {
        let calls = CALLS.to_string();
        // The first segment is stored by the call that archives the others ahead. The shell must not replace itself with
        // that call, so it isn't the last command: its server would be gone, and nothing would be archived ahead.
        let ahead = format!(
            "{}
            head -n {} backlog | tail -n {calls} > archived-ahead
            {SERVE}
            {} archive-wal --ahead {calls} pg_wal/$(head -n 1 ../backlog)
            for name in $(cat ../archived-ahead); do
                ls ../.local/state/swiftwal/*/ahead/$name > /dev/null
            done",
            storage.waiting(),
            CALLS + 1,
            storage.swiftwal
        );
        let archive = format!(
            "scratch=$PWD; {SERVE}
            for name in $(cat ../archived-ahead); do call {} archive-wal pg_wal/$name; done",
            storage.swiftwal
        );
        self.calls(
            &format!("archive-wal of a segment that was archived ahead to {}", storage.name),
            &Job::new(ahead, archive).repeats(CALLS),
            Limits { call_ms: Some(4.0), requests: Some(0.0), ..Limits::default() },
        )
    }
}

impl Storage {
    /// A script after which the backlog waits for a new repository. The first segment, which creates the repository, isn't
    /// measured.
    fn waiting(&self) -> String {
        format!(
            "{}
            {WAIT}
            scratch=$PWD
            {} archive-wal --ahead 0 segments/$(ls segments | head -n 1)
            sync",
            self.anew, self.swiftwal
        )
    }

    fn drain(&self) -> Job {
        Job::new(self.waiting(), drain(&format!("{} archive-wal pg_wal/$name", self.swiftwal)))
    }
}

/// A script that archives the backlog by this command, in the server's directory.
fn drain(command: &str) -> String {
    format!(
        "scratch=$PWD; {SERVE}
        for name in $(cat ../backlog); do
            {command}
            mv pg_wal/archive_status/$name.ready pg_wal/archive_status/$name.done
        done"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_swiftwal_does_the_same_work() {
        for storage in [FILE, SWIFT, FAR_SWIFT] {
            assert!(storage.drain().before().is_some(), "{}", storage.swiftwal);
        }
    }
}
