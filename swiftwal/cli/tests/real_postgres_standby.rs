//! Standbys: `restore-wal` as their `restore_command`, and backups of them.
//!
//! The name of a test of a version contains it, by which `cargo xtask test` skips what it can't install.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Postgres, Site, stdout, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_standby_fed_by_restore_wal_alone_takes_over_and_its_timeline_restores,
    an_absent_segment_ends_recovery_but_a_missing_repository_stops_the_server,
);

// Version 13 doesn't report by itself whether it is a standby.
xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_13, 13: the_backup_of_a_standby_that_is_promoted_fails_within_seconds;
    postgresql_18, 18: the_backup_of_a_standby_that_is_promoted_fails_within_seconds;
}

fn a_standby_fed_by_restore_wal_alone_takes_over_and_its_timeline_restores(site: &Site) -> Result<()> {
    let primary = &site.postgres;
    primary.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.start()?;

    primary.sql("delete from pgbench_accounts where aid % 2 = 0")?;
    primary.archive_all()?;
    let rows = primary.rows()?;
    until("the standby has the primary's rows", || Ok(standby.rows()? == rows))?;
    assert_eq!(standby.sql("select pg_is_in_recovery()")?, "t");

    primary.stop()?;
    standby.promote()?;
    standby.sql("delete from pgbench_accounts where aid % 3 = 0")?;
    standby.archive_all()?;
    let stored = site.run(&["list-wal"])?;
    assert!(stored.lines().any(|name| name == "00000002.history"), "{stored}");

    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, standby.rows()?);
    Ok(())
}

fn an_absent_segment_ends_recovery_but_a_missing_repository_stops_the_server(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    site.postgres.archive_all()?;
    let whole = site.restore("whole", "latest", &[])?;
    let cut_off = site.restore("cut_off", "latest", &[])?;

    let url = site.swiftwal.place().url();
    let elsewhere = format!("{url}-elsewhere");
    replace_in_settings(&cut_off, &url, &elsewhere)?;
    assert!(cut_off.start().is_err());
    replace_in_settings(&cut_off, &elsewhere, &url)?;
    assert!(!cut_off.data().join("pg_wal/00000002.history").exists(), "it promoted:\n{}", cut_off.log()?);

    whole.start()?;
    whole.wait_for_promotion()?;
    // It stopped without harm, and continues when the repository is right.
    cut_off.start()?;
    cut_off.wait_for_promotion()?;
    assert_eq!(cut_off.rows()?, whole.rows()?);
    Ok(())
}

const METHODS: [&str; 3] = ["local", "replication", "pg_basebackup"];

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_of_a_standby_says_how_an_idle_primary_ends_the_wait() -> Result<()> {
    let (site, standby) = streaming()?;
    for method in METHODS {
        site.postgres.sql(&format!("create table by_{method} as select 1"))?;
        in_sync(&site, &standby)?;
        let arguments = ["backup", "--method", method, "-c", "fast"];
        let mut backup =
            site.swiftwal.command(&arguments).envs(standby.environment()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(backup.stderr.take().context("it is piped")?).lines();
        let told = said.find(|line| {
            line.as_ref().map_or(true, |line| line.contains("run SELECT pg_switch_wal() there"))
        });
        told.with_context(|| format!("{method} didn't say what ends the wait"))??;
        site.postgres.sql("select pg_switch_wal()")?;
        assert!(backup.wait()?.success(), "{method}: {said:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_of_a_standby_with_xlog_needs_nothing_of_an_idle_primary() -> Result<()> {
    let (site, standby) = streaming()?;
    for method in METHODS {
        site.postgres.sql(&format!("create table by_{method} as select 1"))?;
        in_sync(&site, &standby)?;
        let arguments = ["backup", "--method", method, "-c", "fast", "--xlog"];
        stdout(site.swiftwal.command(&arguments).envs(standby.environment()))?;
        let restored = site.restore(
            method,
            "latest",
            &["--target-immediate", "--target-action", "promote", "--archive-mode", "off"],
        )?;
        restored.start()?;
        restored.wait_for_promotion()?;
        assert_eq!(restored.rows()?, site.postgres.rows()?, "{method}");
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_standby_that_is_promoted_during_its_backup_fails_it() -> Result<()> {
    let (site, standby) = streaming()?;
    site.postgres.pgbench_init(20)?;
    in_sync(&site, &standby)?;
    let arguments = ["backup", "--method", "replication", "-c", "fast", "--xlog"];
    let mut backup = site.swiftwal.command(&arguments);
    let backup = backup.envs(standby.environment()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let streaming = "select count(*) from pg_stat_progress_basebackup where backup_streamed > 0";
    until("the backup streams", || Ok(standby.sql(streaming)? == "1"))?;
    let pid = Pid::from_child(&backup);
    kill_process(pid, Signal::STOP)?;
    standby.promote()?;
    kill_process(pid, Signal::CONT)?;
    let ended = backup.wait_with_output()?;
    let said = String::from_utf8(ended.stderr)?;
    assert!(!ended.status.success(), "{said}");
    assert!(said.contains("the standby was promoted"), "{said}");
    let listed = site.run(&["list-backups"])?;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    Ok(())
}

/// The copy would go on for minutes.
fn the_backup_of_a_standby_that_is_promoted_fails_within_seconds(site: &Site) -> Result<()> {
    // A server that copies looks for a promotion between two files only, and begins with this one.
    let old = site.scratch.directory("old")?;
    site.postgres.sql(&format!("create tablespace outside location '{}'", old.display()))?;
    site.postgres.sql(
        "create table large tablespace outside as select repeat('x', 1000) from generate_series(1, 60000)",
    )?;
    site.run(&["backup", "-c", "fast"])?;
    for method in ["local", "replication"] {
        let mapping =
            format!("{}={}", old.display(), site.scratch.path().join(format!("new-{method}")).display());
        let standby = standby(site, method, &["--tablespace-mapping", &mapping])?;
        in_sync(site, &standby)?;
        let stored = stored(site)?;
        let arguments = ["backup", "--method", method, "-c", "fast", "--max-rate", "256k"];
        let mut backup = site.swiftwal.command(&arguments);
        let backup =
            backup.envs(standby.environment()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        until("the backup copies", || standby.is_copied(method))?;
        standby.promote()?;
        let ended = backup.wait_with_output()?;
        let said = String::from_utf8(ended.stderr)?;
        assert_eq!(ended.status.code(), Some(1), "{method}: {said}");
        assert!(said.contains("the standby was promoted during the backup, so"), "{method}: {said}");
        assert!(said.contains("take the backup again"), "{method}: {said}");
        assert_eq!(self::stored(site)?, stored, "{method}");
    }
    Ok(())
}

/// Returns the names of what is stored, but of WAL.
fn stored(site: &Site) -> Result<Vec<String>> {
    let mut stored = site.swiftwal.stored()?;
    stored.retain(|name| !name.starts_with("wal_"));
    Ok(stored)
}

/// Returns a server with a standby that streams from it.
fn streaming() -> Result<(Site, Postgres)> {
    let site = Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    let standby = standby(&site, "standby", &[])?;
    Ok((site, standby))
}

/// Restores the last backup into the directory `name`, as a standby that streams from the server.
fn standby(site: &Site, name: &str, options: &[&str]) -> Result<Postgres> {
    let standby = site.restore(name, "latest", &[&["--standby"], options].concat())?;
    let [(_, host), (_, port), ..] = site.postgres.environment();
    let primary = format!("primary_conninfo = 'host={host} port={port} user=postgres'");
    standby.configure(&["hot_standby = on", &primary])?;
    standby.start()?;
    Ok(standby)
}

/// Waits until the standby has replayed everything.
fn in_sync(site: &Site, standby: &Postgres) -> Result<()> {
    let written = site.postgres.sql("select pg_current_wal_flush_lsn()")?;
    let replayed = format!("select pg_last_wal_replay_lsn() >= '{written}'");
    until("the standby has replayed everything", || Ok(standby.sql(&replayed)? == "t"))
}

/// Replaces a text in the configuration that `restore` wrote.
fn replace_in_settings(restored: &Postgres, old: &str, new: &str) -> Result<()> {
    let path = restored.data().join("postgresql.auto.conf");
    let settings = fs::read_to_string(&path)?;
    assert!(settings.contains(old), "{settings}");
    Ok(fs::write(&path, settings.replace(old, new))?)
}
