//! Measures receive-wal: how it follows a server that writes as fast as pgbench can, and how long commits wait for it.

use std::fs;

use anyhow::{Result, anyhow};

use super::Bench;
use super::measure::{Job, median};
use super::place::Place;
use super::table::{self, Limits, Row};

/// How many transactions each of the four clients makes at full speed.
const TRANSACTIONS: u32 = 10_000;
/// How many commits of each of the four clients wait for a receiver.
const COMMITS: u32 = 500;
/// What may not be stored yet when pgbench ends: the incomplete segment, and two before it.
const MOST_BEHIND_MIB: f64 = 48.0;
/// The limit of the receiver's CPU time without compression, in cores.
const MOST_CORES: f64 = 0.3;
/// The documented limit of its memory.
const MOST_MIB: f64 = 64.0;

/// Shell functions for one receiver, which streams from the only slot.
const FUNCTIONS: &str = r#"
    is_true() { [ "$(psql -XAtqc "$1")" = t ]; }
    until_true() {
        until is_true "$1"; do
            kill -0 $(cat receiver.pid) || { cat receiver.log >&2; exit 1; }
            sleep 0.05
        done
    }
    start() {
        psql -XAtqc 'select pg_create_physical_replication_slot($$swiftwal$$, true)' > slot
        env time --quiet --format '%e %U %S %M' --output receiver.figures \
            sh -c 'echo $$ > receiver.pid; exec "$0" "$@"' "$@" > receiver.log 2>&1 &
        until [ -s receiver.pid ]; do kill -0 $!; sleep 0.05; done
        until_true "select exists (select from pg_stat_replication where state = 'streaming')"
    }
    end() {
        [ ! -e receiver.pid ] || kill -TERM $(cat receiver.pid)
        until is_true 'select not exists (select from pg_replication_slots where active)'; do sleep 0.05; done
        psql -XAtqc 'select pg_drop_replication_slot(slot_name) from pg_replication_slots' > slot
        rm -rf receiver.pid received .local/state/swiftwal
    }
    wait_for_commits_of() {
        psql -XAtqc "alter system set synchronous_standby_names = '$1'" -c 'select pg_reload_conf()' > reloaded
        until is_true "select current_setting('synchronous_standby_names') = '$1'"; do sleep 0.05; done
    }
    behind() {
        psql -XAtqc "select (pg_current_wal_flush_lsn() - $1) / 1048576 from pg_stat_replication"
    }
"#;

impl Bench {
    /// Prints how receive-wal follows pgbench, and how long commits take that wait for it.
    pub(super) fn receive_wal(&self, place: &Place) -> Result<()> {
        self.once(
            "echo 'insert into commits values (1)' > commit.sql
            psql -XAtqc 'create table if not exists commits (n int)' \
                -c \"alter system set wal_keep_size = '2GB'\" -c 'alter system set synchronous_commit = remote_write' \
                -c 'select pg_reload_conf()' > reloaded",
        )?;
        self.follow(place)?;
        self.commits(place)
    }

    fn follow(&self, place: &Place) -> Result<()> {
        let receiver = receiver(place);
        let mut runs = [const { Vec::new() }; 4];
        for _ in 0..self.rounds {
            self.once(&format!(
                "{FUNCTIONS}
                start {receiver}
                first=$(psql -XAtqc 'checkpoint' -c 'select pg_walfile_name(pg_switch_wal())')
                pgbench -n -c 4 -j 2 -t {TRANSACTIONS} > pgbench.log 2>&1
                echo $(behind write_lsn) $(behind flush_lsn) > behind
                last=$(psql -XAtqc 'select pg_walfile_name(pg_switch_wal())')
                until_true \"select bool_or(pg_walfile_name(flush_lsn + 1) > '$last') from pg_stat_replication\"
                end; wait
                ls data/pg_wal | awk -v first=$first -v last=$last \
                    'length == 24 && $0 > first && $0 <= last' > followed
                env time --quiet --format '%U %S' --output zstd.figures sh -c \
                    'for name in $(cat followed); do zstd -1 -q -c data/pg_wal/$name > compressed; done'"
            ))?;
            let [written, stored] = self.numbers("behind")?;
            let [wall, user, system, kib] = self.numbers("receiver.figures")?;
            let [zstd_user, zstd_system] = self.numbers("zstd.figures")?;
            let cores = (user + system - zstd_user - zstd_system) / wall;
            for (run, figure) in runs.iter_mut().zip([written, stored, cores, kib / 1024.0]) {
                run.push(figure);
            }
        }
        let segments = fs::read_to_string(self.scratch.path().join("followed"))?.lines().count();
        let [written, stored, cores, mib] = runs.map(median);
        println!("receive-wal to {} while pgbench writes {segments} segments", place.name);
        println!("{}", table::amount("not in the spool at the end", " MiB", written, None));
        println!("{}", table::amount("not stored at the end", " MiB", stored, Some(MOST_BEHIND_MIB)));
        println!("{}", table::amount("CPU beyond zstd -1", " cores", cores, Some(MOST_CORES)));
        println!("{}", table::amount("peak RSS", " MiB", mib, Some(MOST_MIB)));
        Ok(())
    }

    fn commits(&self, place: &Place) -> Result<()> {
        let job = |name: &str, receiver: &str| {
            let commits = format!("pgbench -n -c 4 -j 2 -t {COMMITS} -f commit.sql > pgbench.log 2>&1");
            let before = format!(
                "{FUNCTIONS}
                wait_for_commits_of ''; end; start {receiver}
                wait_for_commits_of '{name}'
                until_true \"select bool_and(sync_state = 'sync') from pg_stat_replication\""
            );
            Job::new(before, commits)
        };
        let ours = job("swiftwal", &receiver(place));
        let theirs = job(
            "pg_receivewal",
            "sh -c 'mkdir received; exec pg_receivewal -D received --slot swiftwal --synchronous'",
        );
        let [ours, theirs] = self.in_turns([&ours, &theirs])?;
        self.once(&format!("{FUNCTIONS} wait_for_commits_of ''; end"))?;
        table::row(&Row {
            job: format!("{} commits with remote_write, receive-wal to {}", 4 * COMMITS, place.name),
            tool: "pg_receivewal --synchronous".to_owned(),
            ours,
            theirs,
            limits: Limits { wall: Some(1.15), ..Limits::default() },
        });
        Ok(())
    }

    /// Returns the numbers in a file of the scratch directory.
    fn numbers<const N: usize>(&self, file: &str) -> Result<[f64; N]> {
        let text = fs::read_to_string(self.scratch.path().join(file))?;
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        numbers.try_into().map_err(|_| anyhow!("{file} contains {text:?}"))
    }
}

/// A command that receives into a new repository.
fn receiver(place: &Place) -> String {
    let program = if place.is_directory {
        "rm -rf repository; mkdir repository; exec ./swiftwal --repository file://$PWD/repository"
    } else {
        "exec ./swiftwal -c v1.conf --repository swift://received/$(date +%s%N)"
    };
    format!("sh -c '{program} receive-wal'")
}
