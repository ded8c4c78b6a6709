//! `drill`: what it proves, what it finds, and that it touches nothing but its own directory.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt, PermissionsExt},
    path::PathBuf,
    process::{Child, Stdio},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use xtask::{Process, Site, descendants, output, stdout, until};

mod file {
    use super::*;

    xtask::on_versions! {
        env!("CARGO_BIN_EXE_swiftwal");
        postgresql_15, 15: a_sound_backup_is_proven_and_nothing_else_changes, each_kind_of_damage_is_found,
            a_drill_that_is_stopped_or_killed_leaves_nothing, a_tablespace_of_the_original_server_is_never_used;
        postgresql_18, 18: a_sound_backup_is_proven_and_nothing_else_changes;
    }
}

xtask::on_versions_on_swift! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: a_sound_backup_is_proven_and_nothing_else_changes;
}

/// True on a server that can't do any harm.
const ISOLATED: &str = "
    select current_setting('shared_preload_libraries') = '' and current_setting('archive_mode') = 'off';
    select current_setting('listen_addresses') = '' and current_setting('max_logical_replication_workers') = '0';
    -- The original server has a subscription, whose worker would take over its replication slot.
    select count(*) = 1 from pg_subscription where subenabled;
    select not exists (select from pg_stat_activity where backend_type like 'logical%' or backend_type like 'autovacuum%');
    select not pg_is_in_recovery();
    -- Nothing of the original configuration is even read.
    select not exists (select from pg_file_settings where name not like 'recovery_%'
        and name not in ('restore_command', 'archive_cleanup_command', 'archive_mode'));
    select pg_tablespace_location(oid) like '%/tablespaces/' || oid from pg_tablespace where spcname = 'outside';
";

/// The result of a drill.
struct Drilled {
    code: Option<i32>,
    report: Value,
    said: String,
}

fn drill(site: &Site, options: &[&str]) -> Result<Drilled> {
    let scratch = scratch(site);
    let arguments =
        [&["--json", "drill", "--scratch", &scratch.to_string_lossy(), "--keep-free", "1M"], options];
    let ended = output(&mut site.command(&arguments.concat()))?;
    let said = String::from_utf8(ended.stderr)?;
    ensure!(scratch.read_dir()?.next().is_none(), "the drill {options:?} left something: {said}");
    let report = serde_json::from_slice(&ended.stdout).unwrap_or_default();
    Ok(Drilled { code: ended.status.code(), report, said })
}

impl Drilled {
    #[track_caller]
    fn expect(&self, code: i32, verdict: &str, reason: &str) {
        assert_eq!(self.code, Some(code), "{} {}", self.report, self.said);
        assert_eq!(self.report["verdict"], verdict, "{}", self.said);
        assert!(self.said.contains(reason), "{}", self.said);
        assert!(self.report["at"].is_string(), "it isn't recorded: {}", self.said);
    }

    #[track_caller]
    fn expect_passed(&self) {
        self.expect(0, "passed", "");
    }

    fn list(&self, field: &str) -> String {
        self.report[field].to_string()
    }
}

/// Returns the directory of the drills.
fn scratch(site: &Site) -> PathBuf {
    site.scratch.path().join("drills")
}

/// Creates the directory of the drills, and takes a backup after some rows were written.
fn prepare(site: &Site) -> Result<()> {
    site.scratch.directory("drills")?;
    site.postgres.sql("create table t as select x, md5(x::text) as text from generate_series(1, 5000) x")?;
    site.postgres.sql("create index on t (x)")?;
    Ok(())
}

fn assertions(site: &Site, name: &str, text: &str) -> Result<String> {
    Ok(site.scratch.secret_file(name, text)?.display().to_string())
}

/// Returns the names of what is stored, without the proofs.
fn stored(site: &Site) -> Result<Vec<String>> {
    let mut stored = site.swiftwal.stored()?;
    stored.retain(|name| !name.starts_with("drill_"));
    Ok(stored)
}

fn a_sound_backup_is_proven_and_nothing_else_changes(site: &Site) -> Result<()> {
    let server = &site.postgres;
    prepare(site)?;
    let outside = site.scratch.directory("outside")?;
    let touched = site.scratch.path().join("touched");
    let touch = format!("touch {}", touched.display());
    for statement in [
        &format!("create tablespace outside location '{}'", outside.display()),
        "create table in_it tablespace outside as select * from t",
        "create database shop",
        // Sessions there fail, and those that ignore the setting don't.
        "alter database shop set session_preload_libraries = 'absent'",
        "create subscription s connection 'host=/absent dbname=postgres' publication p with (connect = false)",
        "alter subscription s set (slot_name = 's')",
        "alter subscription s enable",
        "select pg_replication_origin_create('origin')",
        // In the backup, but without effect on this server.
        &format!("alter system set recovery_end_command = '{touch}'"),
        &format!("alter system set archive_cleanup_command = '{touch}'"),
        &format!("alter system set archive_command = '{touch}; exit 1'"),
        "alter system set shared_preload_libraries = 'absent'",
        "alter system set primary_conninfo = 'host=/absent'",
    ] {
        server.sql(statement)?;
    }
    server.configure(&["shared_preload_libraries = 'absent'", "listen_addresses = '*'"])?;
    site.run(&["backup", "-c", "fast"])?;
    site.swiftwal.wait_for_end_of_backups(server)?;
    server.sql("select pg_replication_origin_session_setup('origin'), txid_current()")?;
    let before = server.sql("select clock_timestamp()")?;
    server.sql("delete from t where x <= 1000")?;
    server.archive_all()?;
    let all = stored(site)?;

    let file = assertions(site, "now.sql", &format!("{ISOLATED} select count(*) = 4000 from t;"))?;
    let passed = drill(site, &["--sql", &file, "--full"])?;
    passed.expect_passed();
    let checked = passed.list("checked");
    for check in
        ["pg_verifybackup", "recovery to the end", "pg_amcheck", "pg_dumpall", "8 assertions", "pg_checksums"]
    {
        assert!(checked.contains(check), "{check}: {checked}");
    }
    assert_eq!(passed.list("not_checked"), "[]");
    assert!(passed.report["bytes"].as_u64() > Some(10_000_000), "{}", passed.report);
    let seconds = |name: &str| passed.report[name].as_f64().context(name.to_owned());
    let sum = seconds("fetch_seconds")? + seconds("replay_seconds")? + seconds("start_seconds")?;
    assert!((seconds("rto_seconds")? - sum).abs() < 0.01 && sum > 0.0, "{}", passed.report);

    let file = assertions(site, "before.sql", "select count(*) = 5000 from t")?;
    drill(site, &["latest", "--target-time", &before, "--sql", &file])?.expect_passed();

    assert_eq!(stored(site)?, all);
    assert!(!touched.exists());
    let proofs = site.swiftwal.stored()?.iter().filter(|name| name.starts_with("drill_")).count();
    assert_eq!(proofs, 2);
    // The original server has noticed nothing.
    assert_eq!(server.sql("select count(*) from in_it")?, "5000");
    Ok(())
}

fn each_kind_of_damage_is_found(site: &Site) -> Result<()> {
    let server = &site.postgres;
    prepare(site)?;
    server.sql("create index hashed on t using hash (x)")?;
    site.run(&["backup", "-c", "fast"])?;
    let key = site.run(&["list-backups"])?.trim().to_owned();
    server.archive_all()?;
    let file = assertions(site, "false.sql", "select true; select x > 0 from t where x < 3; select false")?;
    drill(site, &["--sql", &file])?.expect(3, "failed", "query 3 returned false instead of true");
    let file = assertions(site, "typo.sql", "select select")?;
    drill(site, &["--sql", &file])?.expect(4, "not_proven", "syntax error");
    let ended = "recovery ended before configured recovery target";
    drill(site, &["--target-lsn", "F/0"])?.expect(3, "failed", ended);

    // An index that lacks rows: only pg_amcheck finds it.
    for statement in [
        "create function f(int) returns int immutable language sql as 'select $1'",
        "create index of_f on t (f(x))",
        "create or replace function f(int) returns int immutable language sql as 'select -$1'",
    ] {
        server.sql(statement)?;
    }
    server.archive_all()?;
    drill(site, &[])?.expect(3, "failed", "pg_amcheck found a problem");
    server.sql("drop index of_f")?;
    server.archive_all()?;

    // A damaged page of an index that pg_amcheck doesn't read: only pg_checksums finds it.
    let page = server.sql("select pg_relation_filepath('hashed')")?;
    server.stop()?;
    File::options().write(true).open(server.data().join(&page))?.write_all_at(b"damage", 8192 + 4000)?;
    server.start()?;
    site.run(&["backup", "-c", "fast", "--no-verify-checksums"])?;
    server.archive_all()?;
    drill(site, &[])?.expect(3, "failed", "pg_checksums found a problem");

    // The first backup is sound, but its tar or the WAL isn't.
    let repository = site.scratch.path().join("repository");
    let tar = repository.join(format!("pg_basebackup_{key}.tar.zst"));
    let tar = File::options().read(true).write(true).open(tar)?;
    let (mut byte, middle) = ([0], tar.metadata()?.len() / 2);
    tar.read_exact_at(&mut byte, middle)?;
    tar.write_all_at(&[byte[0] ^ 1], middle)?;
    drill(site, &[&key])?.expect(3, "failed", &format!("pg_basebackup_{key}.tar.zst is damaged"));
    tar.write_all_at(&byte, middle)?;

    let listed: Value = serde_json::from_str(&site.run(&["--json", "list-backups"])?)?;
    let needed = listed[0]["record"]["last_wal"].as_str().context("last_wal")?.to_owned();
    let wal = |name: &str| repository.join(format!("wal_{name}.zst"));
    let content = fs::read(wal(&needed))?;
    fs::remove_file(wal(&needed))?;
    drill(site, &[&key])?.expect(
        3,
        "failed",
        &format!("can't become consistent without WAL segment {needed}"),
    );
    fs::write(wal(&needed), content)?;

    let segments = site.run(&["list-wal"])?;
    let is_later = |name: &&str| name.len() == needed.len() && *name > needed.as_str();
    let later = segments.lines().find(is_later).context("a later one")?;
    fs::remove_file(wal(later))?;
    for entry in repository.read_dir()? {
        // Nothing is on its way any more.
        let file = File::options().write(true).open(entry?.path())?;
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))?;
    }
    drill(site, &[&key])?.expect(3, "failed", &format!("WAL segment {later} is missing in "));
    Ok(())
}

fn a_drill_that_is_stopped_or_killed_leaves_nothing(site: &Site) -> Result<()> {
    prepare(site)?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    site.postgres.archive_all()?;
    let sleep = assertions(site, "sleep.sql", "select pg_sleep(3600) is not null")?;

    let late = drill(site, &["--sql", &sleep, "--deadline", "5"])?;
    assert_eq!(late.code, Some(4), "{} {}", late.report, late.said);
    assert!(late.said.contains("not done within the deadline of 5 s"), "{}", late.said);

    let proofs = site.swiftwal.stored()?;
    let (mut terminated, _) = running(site, &sleep)?;
    signal(&terminated, Signal::TERM)?;
    assert_eq!(terminated.wait()?.code(), Some(143));
    assert!(scratch(site).read_dir()?.next().is_none());
    assert_eq!(site.swiftwal.stored()?, proofs);

    let (mut killed, server) = running(site, &sleep)?;
    signal(&killed, Signal::KILL)?;
    killed.wait()?;
    assert_eq!(Process::of(server.pid)?.name, "postgres");
    // With credentials that can only read, nothing is recorded.
    let mode = |mode: &str| stdout(site.scratch.command("chmod").args([mode, "repository"]));
    mode("0500")?;
    let next = drill(site, &[]);
    mode("0700")?;
    let next = next?;
    assert_eq!(
        (next.code, &next.report["verdict"], &next.report["at"]),
        (Some(0), &"passed".into(), &Value::Null)
    );
    for told in ["which a killed swiftwal had left", "the result isn't recorded: "] {
        assert!(next.said.contains(told), "{}", next.said);
    }
    assert!(Process::of(server.pid).is_err());

    // What can't begin stores nothing, and says what to do.
    let proofs = site.swiftwal.stored()?;
    let bin = site.scratch.directory("bin")?;
    let other = bin.join("postgres");
    fs::write(&other, "#!/bin/sh\necho 'postgres (PostgreSQL) 14.1'\n")?;
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755))?;
    for (options, reason) in [
        (
            ["--bindir", "/absent"],
            "PostgreSQL 15, of which the backup is, isn't installed: no program postgres of it in /absent",
        ),
        (["--bindir", &bin.to_string_lossy()], "is of PostgreSQL 14, and the backup is of PostgreSQL 15"),
        (["--keep-free", "1000T"], "has no room for this backup"),
        (["--sql", "/absent"], "can't read /absent"),
        (["--target-time", "2013-01-01 00:00:00 UTC"], "can reach that"),
    ] {
        let directory = scratch(site);
        let mut command = site.command(&["drill", "--scratch", &directory.to_string_lossy()]);
        let refused = output(command.args(options))?;
        let said = String::from_utf8(refused.stderr)?;
        assert!(refused.status.code() == Some(1) && said.contains(reason), "{options:?}: {said}");
        assert!(refused.stdout.is_empty() && scratch(site).read_dir()?.next().is_none());
    }
    assert_eq!(site.swiftwal.stored()?, proofs);
    Ok(())
}

/// Starts a drill, and returns it with the first process of its server when that runs.
fn running(site: &Site, sql: &str) -> Result<(Child, Process)> {
    let mut command = site.command(&["drill", "--keep-free", "1M", "--sql", sql, "--scratch"]);
    command.arg(scratch(site)).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut drill = command.spawn()?;
    let mut server = None;
    until("the server of the drill runs", || {
        ensure!(drill.try_wait()?.is_none(), "the drill has ended");
        let children = descendants(drill.id().try_into()?)?;
        server = children.into_iter().find(|process| process.name == "postgres");
        Ok(server.is_some())
    })?;
    Ok((drill, server.context("the server")?))
}

fn signal(child: &Child, signal: Signal) -> Result<()> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

fn a_tablespace_of_the_original_server_is_never_used(site: &Site) -> Result<()> {
    let server = &site.postgres;
    prepare(site)?;
    site.run(&["backup", "-c", "fast"])?;
    // Replaying this would use the directory of the original server.
    let outside = site.scratch.directory("outside")?;
    server.sql(&format!("create tablespace outside location '{}'", outside.display()))?;
    server.sql("create table in_it tablespace outside as select * from t")?;
    server.archive_all()?;
    server.sql("truncate in_it")?;
    server.sql("insert into in_it select * from t where x <= 10")?;
    server.stop()?;
    let sums = "find . -type f -printf '%p %i %T@ ' -exec md5sum {} + | sort";
    let files = || stdout(site.scratch.command("sh").args(["-euc", sums]).current_dir(&outside));
    let before = files()?;
    drill(site, &[])?.expect(4, "not_proven", "creates a tablespace");
    assert_eq!(files()?, before);
    server.start()?;
    assert_eq!(server.sql("select count(*) from in_it")?, "10");
    Ok(())
}
