//! Backups of a server whose files are created, grow, shrink and vanish during the copy.
//!
//! The name of a test contains its version, by which `cargo xtask test` skips what it can't install.

use std::{
    fs,
    process::{Child, Stdio},
};

use anyhow::{Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Place, Postgres, Site, stdout, until};

xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: by_local, by_replication;
    postgresql_18, 18: by_local, by_replication;
}

/// Each client has tables of its own. A statement leaves `pulse` with 1000 or 5000 rows.
const CHURN: &str = "
    create table churn_:client_id as select x, repeat('x', 200) y from generate_series(1, 2000) x;
    delete from pulse_:client_id where x > 1000;
    vacuum (truncate) pulse_:client_id;
    delete from churn_:client_id where x > 1000;
    vacuum (truncate) churn_:client_id;
    insert into pulse_:client_id select x, repeat('y', 200) from generate_series(1001, 5000) x;
    insert into churn_:client_id select x, repeat('y', 200) from generate_series(1, 2000) x;
    create index on churn_:client_id (x);
    truncate churn_:client_id;
    insert into rounds values (:client_id);
    drop table churn_:client_id;
";

/// The number of clients that change the files.
const CLIENTS: u32 = 4;

/// How often the copy is stopped until the files have changed.
const STOPS: usize = 8;

fn by_local(site: &Site) -> Result<()> {
    back_up_while_files_change(site, "local")
}

fn by_replication(site: &Site) -> Result<()> {
    back_up_while_files_change(site, "replication")
}

fn back_up_while_files_change(site: &Site, method: &str) -> Result<()> {
    let server = &site.postgres;
    server.archive_nothing()?;
    server.pgbench_init(2)?;
    server.sql("create table rounds (client int)")?;
    for client in 0..CLIENTS {
        let rows = "select x, repeat('x', 200) y from generate_series(1, 5000) x";
        server.sql(&format!("create table pulse_{client} as {rows}"))?;
    }
    let script = site.scratch.path().join("churn.sql");
    fs::write(&script, CHURN)?;
    let script = script.display().to_string();
    // Without these rates, there would be far more WAL to copy than files.
    let (transactions, changes) =
        (server.pgbench_with(&["-R", "100"])?, server.pgbench_with(&["-R", "8", "-f", &script])?);

    let arguments = ["backup", "--method", method, "-c", "fast", "--xlog", "--max-rate", "8M"];
    let mut command = site.command(&arguments);
    let mut backup = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    for _ in 0..STOPS {
        let before = stored_bytes(site)?;
        until("the copy goes on", || {
            ensure!(backup.try_wait()?.is_none(), "the backup ended before its files could change");
            Ok(stored_bytes(site)? > before)
        })?;
        signal(&backup, Signal::STOP)?;
        let changed = change_of_all_files(server);
        signal(&backup, Signal::CONT)?;
        changed?;
    }
    let ended = backup.wait_with_output()?;
    let said = String::from_utf8(ended.stderr)?;
    // Exit code 3 would mean that a page in the middle of a change was taken for a damaged one.
    ensure!(ended.status.success(), "{:?}: {said}", ended.status);
    drop(transactions);
    // It waits for the sessions of both.
    changes.end(server)?;

    let restored = site.restore("restored", "latest", &["--archive-mode", "off"])?;
    stdout(site.scratch.command("pg_verifybackup").arg("--no-parse-wal").arg(restored.data()))?;
    restored.start()?;
    restored.wait_for_promotion()?;
    expect_consistent(&restored)
}

/// Waits until each client has begun and ended a round.
fn change_of_all_files(server: &Postgres) -> Result<()> {
    let rounds = || {
        server.sql("select string_agg(n::text, ' ') from (select count(*) n from rounds group by client order by client) r")
    };
    let clients = "select count(distinct client) from rounds";
    until("each client has ended a round", || Ok(server.sql(clients)? == CLIENTS.to_string()))?;
    let numbers = |text: String| -> Vec<u64> { text.split(' ').filter_map(|n| n.parse().ok()).collect() };
    let before = numbers(rounds()?);
    until("each client has ended two more rounds", || {
        let now = numbers(rounds()?);
        Ok(now.iter().zip(&before).all(|(now, before)| *now >= before + 2))
    })?;
    // The server keeps the names of dropped tables until then.
    server.sql("checkpoint").map(drop)
}

/// Checks that each transaction is there as a whole or not at all, and that every table can be read.
fn expect_consistent(restored: &Postgres) -> Result<()> {
    let sums = "select count(distinct sum) from (select sum(abalance) from pgbench_accounts \
        union all select sum(bbalance) from pgbench_branches union all select sum(tbalance) from pgbench_tellers \
        union all select sum(delta) from pgbench_history) s";
    assert_eq!(restored.sql(sums)?, "1");
    assert_ne!(restored.sql("select count(*) from pgbench_history")?, "0");
    for client in 0..CLIENTS {
        let rows = format!("select count(*), count(distinct x), max(x) from pulse_{client}");
        let rows = restored.sql(&rows)?;
        ensure!(["1000|1000|1000", "5000|5000|5000"].contains(&&*rows), "{rows}");
    }
    let dump = restored.client("pg_dump").arg("--file=/dev/null").status()?;
    ensure!(dump.success(), "not every table can be read");
    restored.sql("reindex database postgres").map(drop)
}

/// Returns how much is stored of backups.
fn stored_bytes(site: &Site) -> Result<u64> {
    let Place::Directory(repository) = site.swiftwal.place() else { bail!("not a directory") };
    let mut bytes = 0;
    for entry in fs::read_dir(repository)? {
        // It may just have got another name.
        bytes += entry?.metadata().map_or(0, |found| found.len());
    }
    Ok(bytes)
}

fn signal(backup: &Child, signal: Signal) -> Result<()> {
    Ok(kill_process(Pid::from_child(backup), signal)?)
}
