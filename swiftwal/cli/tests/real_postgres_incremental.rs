//! `backup --incremental` of real servers. PostgreSQL's own pg_combinebackup puts the stored backups together.
//!
//! The name of a test contains its version, by which `cargo xtask test` skips what it can't install.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::{Place, Postgres, Site, output, stdout};

xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_16, 16: an_older_server_takes_only_full_ones;
    postgresql_17, 17: an_increment_builds_on_a_local_backup, a_chain_is_what_pg_combinebackup_reads,
        a_chain_goes_on_after_a_promotion, without_the_summaries_since_the_parent_only_a_full_one_is_taken;
    postgresql_18, 18: an_increment_builds_on_a_local_backup, a_chain_is_what_pg_combinebackup_reads,
        a_server_without_summaries_takes_only_full_ones, a_chain_goes_on_after_a_promotion,
        a_standby_without_a_restartpoint_takes_only_full_ones,
        without_the_summaries_since_the_parent_only_a_full_one_is_taken;
}

fn an_increment_builds_on_a_local_backup(site: &Site) -> Result<()> {
    a_chain(site, "local")
}

fn a_chain_is_what_pg_combinebackup_reads(site: &Site) -> Result<()> {
    a_chain(site, "replication")
}

/// Takes a full backup by a method, and two increments.
fn a_chain(site: &Site, method: &str) -> Result<()> {
    summarize_wal(site)?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast", "--xlog", "--method", method])?;
    for _ in 0..2 {
        site.postgres.sql("update pgbench_accounts set abalance = abalance + 1 where aid < 100")?;
        site.run(&["backup", "-c", "fast", "--xlog", "--incremental"])?;
    }
    let records = records(site)?;
    let kinds: Vec<_> = records.iter().map(|record| record["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("full"), Some("incremental"), Some("incremental")]);
    for pair in records.windows(2) {
        assert_eq!(pair[1]["parent"], pair[0]["key"]);
    }
    let sizes: Vec<_> = records.iter().map(data_bytes).collect();
    assert!(sizes[1] < sizes[0] / 2 && sizes[2] < sizes[0] / 2, "{sizes:?}");
    let combined = combine(site, &records)?;
    combined.start()?;
    assert_eq!(combined.rows()?, site.postgres.rows()?);
    Ok(())
}

fn a_chain_goes_on_after_a_promotion(site: &Site) -> Result<()> {
    summarize_wal(site)?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    // It is promoted within a segment. If the new timeline begins exactly where a segment does, PostgreSQL says that the
    // summary of its beginning is missing.
    let [(_, host), (_, port), ..] = site.postgres.environment();
    standby.configure(&[&format!("primary_conninfo = 'host={host} port={port} user=postgres'")])?;
    standby.start()?;
    site.postgres.sql("update pgbench_accounts set abalance = 5 where aid < 100")?;
    let last = site.postgres.sql("select pg_current_wal_lsn()")?;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{last}'");
    xtask::until("the standby has the WAL", || Ok(standby.sql(&replayed)? == "t"))?;
    site.postgres.crash()?;
    standby.promote()?;
    standby.sql("update pgbench_accounts set abalance = 7 where aid < 100")?;
    let mut backup = site.swiftwal.command(&["backup", "-c", "fast", "--incremental"]);
    stdout(backup.envs(standby.environment()))?;
    let records = records(site)?;
    let [full, incremental] = &records[..] else { anyhow::bail!("{records:?}") };
    assert_eq!((&incremental["parent"], &incremental["timeline"]), (&full["key"], &2.into()));
    let restored = site.restore("restored", "latest", &[])?;
    standby.archive_all()?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, standby.rows()?);
    Ok(())
}

fn a_standby_without_a_restartpoint_takes_only_full_ones(site: &Site) -> Result<()> {
    summarize_wal(site)?;
    site.run(&["backup", "-c", "fast"])?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.start()?;
    let last = site.postgres.sql("select pg_current_wal_lsn()")?;
    site.postgres.archive_all()?;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{last}'");
    xtask::until("the standby has the WAL", || Ok(standby.sql(&replayed)? == "t"))?;
    // The parent is newer than the standby's last restartpoint.
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    let take = |mode| {
        let mut backup = site.swiftwal.command(&["backup", "-c", "fast", "--xlog", mode]);
        output(backup.envs(standby.environment()))
    };
    // The server archives the backup's history file after the backup.
    xtask::until("nothing is archived any more", || Ok(site.postgres.waiting_for_archive()?.is_empty()))?;
    let before = site.swiftwal.stored()?;
    let refused = take("--incremental")?;
    let said = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("can't take this incremental backup") && said.contains("standby"), "{said}");
    assert_eq!(site.swiftwal.stored()?, before);
    let taken = take("--incremental=auto")?;
    let said = String::from_utf8(taken.stderr)?;
    assert!(taken.status.success() && said.contains("taking a full backup"), "{said}");
    Ok(())
}

fn without_the_summaries_since_the_parent_only_a_full_one_is_taken(site: &Site) -> Result<()> {
    site.run(&["backup", "-c", "fast"])?;
    // The WAL since then is gone when the server begins to summarize.
    for _ in 0..3 {
        site.postgres.archive_all()?;
        site.postgres.sql("checkpoint")?;
    }
    summarize_wal(site)?;
    expect_refusal(site, "WAL summaries are required")?;
    site.run(&["backup", "-c", "fast", "--incremental"]).map(drop)
}

fn an_older_server_takes_only_full_ones(site: &Site) -> Result<()> {
    site.run(&["backup", "-c", "fast"])?;
    expect_refusal(site, "incremental backups exist from 17 on")
}

fn a_server_without_summaries_takes_only_full_ones(site: &Site) -> Result<()> {
    site.run(&["backup", "-c", "fast"])?;
    expect_refusal(site, "the server's summarize_wal is off")
}

/// Expects that an incremental backup is refused for this reason and leaves nothing behind, and that
/// `--incremental=auto` takes a full one and says the reason.
fn expect_refusal(site: &Site, reason: &str) -> Result<()> {
    let before = site.swiftwal.stored()?;
    let refused = run(site, &["backup", "-c", "fast", "--incremental"])?;
    let said = String::from_utf8(refused.stderr)?;
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains(reason), "{said}");
    let after: Vec<_> = site.swiftwal.stored()?.into_iter().filter(|name| !before.contains(name)).collect();
    assert!(after.iter().all(|name| name.starts_with("wal_")), "{after:?}");

    let taken = run(site, &["backup", "-c", "fast", "--incremental=auto"])?;
    let said = String::from_utf8(taken.stderr)?;
    assert!(taken.status.success(), "{said}");
    assert!(said.contains("taking a full backup: ") && said.contains(reason), "{said}");
    let records = records(site)?;
    assert_eq!(records.last().context("a backup")?["kind"], "full");
    Ok(())
}

fn run(site: &Site, arguments: &[&str]) -> Result<Output> {
    output(&mut site.command(arguments))
}

fn summarize_wal(site: &Site) -> Result<()> {
    site.postgres.configure(&["summarize_wal = on"])?;
    site.postgres.reload()
}

/// Returns the commit records, oldest first.
fn records(site: &Site) -> Result<Vec<Value>> {
    let listed: Vec<Value> = serde_json::from_str(&site.run(&["--json", "list-backups"])?)?;
    Ok(listed.into_iter().map(|mut backup| backup["record"].take()).collect())
}

/// Returns the size of the tars before compression, without the WAL in them.
fn data_bytes(record: &Value) -> u64 {
    let objects = record["objects"].as_array().into_iter().flatten();
    let tars: u64 = objects.filter_map(|object| object["tar_bytes"].as_u64()).sum();
    tars.saturating_sub(record["wal_segment_bytes"].as_u64().unwrap_or_default())
}

/// Puts a chain together with PostgreSQL's program. Returns the cluster, which isn't started.
fn combine(site: &Site, records: &[Value]) -> Result<Postgres> {
    let members: Vec<PathBuf> = records.iter().map(|record| unpack(site, record)).collect::<Result<_>>()?;
    let combined = site.scratch.path().join("combined");
    stdout(site.scratch.command("pg_combinebackup").args(&members).arg("-o").arg(&combined))?;
    Ok(Postgres::open(&site.scratch, &combined))
}

/// Unpacks a backup with the standard tools, and its manifest beside the files.
fn unpack(site: &Site, record: &Value) -> Result<PathBuf> {
    let key = record["key"].as_str().context("a key")?;
    let Place::Directory(repository) = site.swiftwal.place() else { anyhow::bail!("not a directory") };
    let directory = site.scratch.directory(key)?;
    let decompress = |name: &str, to: &Path| {
        stdout(site.scratch.command("zstd").args(["-dqf", "-o"]).arg(to).arg(repository.join(name)))
    };
    let tar = site.scratch.path().join(format!("{key}.tar"));
    decompress(&format!("pg_basebackup_{key}.tar.zst"), &tar)?;
    stdout(site.scratch.command("tar").arg("-xf").arg(&tar).arg("-C").arg(&directory))?;
    decompress(&format!("backup_manifest_{key}.zst"), &directory.join("backup_manifest"))?;
    fs::remove_file(tar)?;
    Ok(directory)
}
