//! Measures how fast archive-wal stores a backlog of segments, in the calls of PostgreSQL's archiver, one after the other.

use anyhow::Result;

use super::Bench;
use super::measure::{Job, Measured};
use super::table::{Limits, Row};

/// The largest backlog.
const MOST_SEGMENTS: u32 = 100;
/// How many calls for files that were archived ahead are measured.
const CALLS: u32 = 20;

/// A storage that a backlog is drained to.
struct Storage {
    name: &'static str,
    /// The program, in the server's directory.
    swiftwal: &'static str,
    /// A script that begins a new repository.
    anew: &'static str,
    /// The other tool: a script, and as it is shown.
    tool: (&'static str, &'static str),
    wall_limit: f64,
}

const FILE: Storage = Storage {
    name: "a directory",
    swiftwal: "$scratch/swiftwal --repository file://$scratch/drained",
    anew: "rm -rf drained plain .local/state/swiftwal && mkdir drained plain",
    tool: (
        "cat backlog | xargs -P2 -I{} sh -c 'zstd -1 -q -o plain/{}.zst segments/{} && sync plain/{}.zst'",
        "zstd -1 -o FILE SEGMENT && sync FILE, by xargs -P2",
    ),
    wall_limit: 1.0,
};
/// Uses the files that [`start`](super::swift::start) writes.
const SWIFT: Storage = Storage {
    name: "Swift",
    swiftwal: "$scratch/swiftwal -c $scratch/v1.conf --repository swift://drained/$(cat $scratch/run)",
    anew: "date +%s%N > run",
    tool: (
        "source ./v1.sh; export -f swift
        cat backlog | xargs -P4 -I{} bash -c 'zstd -1 -q -c segments/{} | swift plain/$(cat run)/{}.zst -T -'",
        "zstd -1 -c SEGMENT | curl -T - URL, by xargs -P4",
    ),
    wall_limit: 0.9,
};

impl Bench {
    /// Measures a backlog of the server's newest segments, up to 100, and the calls for files that were archived ahead.
    pub(crate) fn drain(&self) -> Result<[Row; 2]> {
        self.drain_to(&FILE)
    }

    /// As [`drain`](Self::drain), to Swift.
    pub(crate) fn drain_to_swift(&self) -> Result<[Row; 2]> {
        self.drain_to(&SWIFT)
    }

    fn drain_to(&self, storage: &Storage) -> Result<[Row; 2]> {
        let Storage { swiftwal, anew, tool: (tool, tool_shown), .. } = storage;
        // The directory of a running server, as archive-wal sees it, where these segments wait. The first segment, which
        // creates the repository, isn't measured.
        let waiting = format!(
            "{anew}
            ls segments | tail -n {MOST_SEGMENTS} > backlog
            rm -rf server && mkdir -p server/pg_wal/archive_status
            cp data/postmaster.pid server/
            for name in $(cat backlog); do
                cp segments/$name server/pg_wal/
                touch -d '1 minute ago' server/pg_wal/$name
                touch server/pg_wal/archive_status/$name.ready
            done
            scratch=$PWD; cd server
            {swiftwal} archive-wal --ahead 0 $scratch/segments/$(ls $scratch/segments | head -n 1)
            sync"
        );
        let one = format!(
            "{swiftwal} archive-wal pg_wal/$name
            mv pg_wal/archive_status/$name.ready pg_wal/archive_status/$name.done"
        );
        let drain = format!("scratch=$PWD; cd server; for name in $(cat ../backlog); do {one}; done");
        let ahead = format!(
            "{waiting}
            head -n {} ../backlog | tail -n {CALLS} > ../calls
            {swiftwal} archive-wal --ahead {CALLS} pg_wal/$(head -n 1 ../backlog)",
            CALLS + 1
        );
        let calls = format!("scratch=$PWD; cd server; for name in $(cat ../calls); do {one}; done");
        let starts = format!("for number in $(seq {CALLS}); do /bin/true; /bin/true; done");
        let [drained, others, calls, starts] = self.in_turns([
            &Job::new(waiting, drain),
            &Job::new(*anew, (*tool).to_owned()),
            &Job::new(ahead, calls).repeats(CALLS),
            &Job::new("", starts).repeats(CALLS),
        ])?;
        let row = |job: String, tool: &str, ours: Measured, theirs: Measured, limits| Row {
            job,
            tool: tool.to_owned(),
            ours,
            theirs,
            limits,
        };
        let segments = std::fs::read_to_string(self.scratch.path().join("backlog"))?.lines().count();
        Ok([
            row(
                format!("archive-wal of {segments} segments that wait, to {}", storage.name),
                tool_shown,
                drained,
                others,
                Limits { wall: Some(storage.wall_limit), ..Limits::default() },
            ),
            row(
                format!("archive-wal of a segment that was archived ahead to {}, and mv", storage.name),
                "/bin/true, twice",
                calls,
                starts,
                Limits { wall_ms: Some(4.0), requests: Some(0.0), ..Limits::default() },
            ),
        ])
    }
}
