//! `backup --method local` of a real PostgreSQL: what the other methods do, from the server's files.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use xtask::{Site, output, stdout, until};

// What doesn't depend on the storage runs on a directory only.
xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_backup_taken_under_load_restores_every_row_that_was_archived,
    a_backup_with_tablespaces_outside_and_in_place_restores,
);

fn site() -> Result<Site> {
    Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))
}

const BACKUP: [&str; 5] = ["backup", "--method", "local", "-c", "fast"];

fn backup<'a>(more: &[&'a str]) -> Vec<&'a str> {
    BACKUP.into_iter().chain(more.iter().copied()).collect()
}

fn a_backup_taken_under_load_restores_every_row_that_was_archived(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(5)?;
    let load = site.postgres.pgbench()?;
    let said = output(&mut site.command(&[&["-v"][..], &backup(&["-P"])].concat()))?;
    let said = String::from_utf8(said.stderr)?;
    assert!(said.contains("the method of the backup is local: --method"), "{said}");
    load.end(&site.postgres)?;
    site.postgres.archive_all()?;
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_with_xlog_restores_without_any_wal_in_the_repository() -> Result<()> {
    let site = &site()?;
    site.postgres.archive_nothing()?;
    site.postgres.pgbench_init(1)?;
    site.run(&backup(&["--xlog"]))?;
    assert_eq!(site.run(&["list-wal"])?, "");
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    until("the slot is gone", || Ok(site.postgres.sql("select count(*) from pg_replication_slots")? == "0"))
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn odd_files_are_restored_and_of_unlogged_tables_the_initial_fork_only() -> Result<()> {
    let site = &site()?;
    site.postgres.sql("create unlogged table u as select generate_series(1, 100000) x")?;
    let relation = site.postgres.sql("select pg_relation_filepath('u')")?;
    let make = "cd \"$0\"; mkdir odd; echo x > 'odd/ two  words '; echo y > \"odd/$(printf 'caf\\351')\"; : > odd/empty; \
                truncate -s 9M odd/sparse; echo end >> odd/sparse";
    let shell = |script: &str, directory: &Path| {
        stdout(site.scratch.command("sh").args(["-euc", script]).arg(directory).arg(site.postgres.data()))
    };
    shell(make, site.postgres.data())?;
    for method in ["local", "replication", "pg_basebackup"] {
        site.run(&["backup", "--method", method, "-c", "fast", "--xlog"])?;
        let restored = site.restore(method, "latest", &[])?;
        shell("diff -r \"$0/odd\" \"$1/odd\"", restored.data())?;
        let forks = shell(&format!("cd \"$0\"; ls {relation}*"), restored.data())?;
        assert_eq!(forks.trim(), format!("{relation}_init"), "{method}");
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_rate_is_kept_by_each_method_and_a_connection_string_leads_to_the_server() -> Result<()> {
    let site = &site()?;
    let [(_, host), (_, port)] = &site.postgres.environment()[..2] else { bail!("no address") };
    let conninfo = format!("host={host} port={port} user=postgres application_name='a b'");
    let uri = format!("postgresql:///?host={host}&port={port}&user=postgres");
    for (method, server) in [("local", &conninfo), ("replication", &uri), ("pg_basebackup", &conninfo)] {
        let mut command = site.swiftwal.command(&["--json", "backup", "--method", method, "-c", "fast"]);
        command.args(["--xlog", "--max-rate", "16M", "-d", server]);
        let began = std::time::Instant::now();
        let report: serde_json::Value = serde_json::from_str(&stdout(&mut command)?)?;
        let bytes = report["tar_bytes"].as_u64().context("a size")?;
        // The WAL isn't limited, and the server counts in small steps.
        let least = bytes.saturating_sub(20 << 20) as f64 / f64::from(16 << 20);
        assert!(began.elapsed().as_secs_f64() >= least, "{method}: {:?} for {bytes}", began.elapsed());
    }
    Ok(())
}

fn a_backup_with_tablespaces_outside_and_in_place_restores(site: &Site) -> Result<()> {
    let (old, new) = (site.scratch.directory("old é")?, site.scratch.path().join("new"));
    site.postgres.sql(&format!("create tablespace outside location '{}'", old.display()))?;
    site.postgres.sql("create table t tablespace outside as select generate_series(1, 100000) x")?;
    // The restored server needs the setting, too.
    site.postgres.configure(&["allow_in_place_tablespaces = on"])?;
    site.postgres.reload()?;
    let is_on = || site.postgres.sql("show allow_in_place_tablespaces");
    until("in-place tablespaces are allowed", || Ok(is_on()? == "on"))?;
    site.postgres.sql("create tablespace inside location ''")?;
    site.postgres.sql("create table u tablespace inside as select generate_series(1, 1000) x")?;
    site.run(&backup(&["--xlog"]))?;
    let mapping = format!("{}={}", old.display(), new.display());
    let restored = site.restore("restored", "latest", &["--tablespace-mapping", &mapping])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.sql("select count(*), sum(x) from t")?, "100000|5000050000");
    assert_eq!(restored.sql("select count(*), sum(x) from u")?, "1000|500500");
    let place = "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'outside'";
    assert_eq!(restored.sql(place)?, new.display().to_string());
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_of_a_standby_restores() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(1)?;
    site.run(&BACKUP)?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.start()?;
    site.postgres.sql("delete from pgbench_accounts where aid % 2 = 0")?;
    site.postgres.archive_all()?;
    let rows = site.postgres.rows()?;
    until("the standby has the primary's rows", || Ok(standby.rows()? == rows))?;
    stdout(site.swiftwal.command(&BACKUP).envs(standby.environment()))?;
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, rows);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_that_is_killed_or_loses_its_session_or_the_server_is_not_listed() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(20)?;
    fail_in_the_middle(site, |backup| Ok(backup.kill()?))?;
    let said = fail_in_the_middle(site, |_| {
        site.postgres.sql(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'swiftwal'",
        )?;
        Ok(())
    })?;
    assert!(said.contains("terminating connection due to administrator command"), "{said}");
    let said = fail_in_the_middle(site, |_| site.postgres.crash())?;
    assert!(said.contains("the base backup failed"), "{said}");
    site.postgres.start()?;
    site.run(&BACKUP)?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_with_damaged_pages_is_kept_with_a_mark_and_ends_with_3() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(1)?;
    let file = site.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?;
    site.postgres.stop()?;
    let mut enable = site.scratch.command("pg_checksums");
    stdout(enable.args(["--enable", "--no-sync", "-D"]).arg(site.postgres.data()))?;
    site.postgres.start()?;
    site.run(&BACKUP)?;

    site.postgres.stop()?;
    let relation = fs::OpenOptions::new().write(true).open(site.postgres.data().join(&file))?;
    for block in [1, 700] {
        relation.write_all_at(b"damage", block * 8192 + 4000)?;
    }
    site.postgres.start()?;
    let output = output(&mut site.command(&BACKUP))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    for words in [
        "contains 2 pages that were already damaged",
        &format!("checksum verification failed in file \"{file}\", block 1: calculated "),
        &format!("checksum verification failed in file \"{file}\", block 700: calculated "),
    ] {
        assert!(complaint.contains(words), "{words} in {complaint}");
    }
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 2);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_directory_that_is_not_the_servers_or_not_readable_is_refused() -> Result<()> {
    let site = &site()?;
    // As on another host, where the process isn't.
    let file = site.postgres.data().join("postmaster.pid");
    let content = fs::read_to_string(&file)?;
    let (pid, rest) = content.split_once('\n').context("lines")?;
    // Larger than any process number of Linux.
    fs::write(&file, format!("{}\n{rest}", 1 << 30))?;
    let complaint = failed(site, &BACKUP)?;
    fs::write(&file, format!("{pid}\n{rest}"))?;
    assert!(complaint.contains("the process in its postmaster.pid can't be seen"), "{complaint}");
    assert!(complaint.contains("--method replication"), "{complaint}");

    let unreadable = site.postgres.data().join("unreadable");
    stdout(site.scratch.command("install").args(["-m", "000", "/dev/null"]).arg(&unreadable))?;
    let complaint = failed(site, &BACKUP)?;
    assert!(complaint.contains(&format!("can't read {}", unreadable.display())), "{complaint}");
    assert!(complaint.contains("run this as the user to whom the server's files belong"), "{complaint}");
    Ok(())
}

/// Returns the messages of a command that failed.
fn failed(site: &Site, arguments: &[&str]) -> Result<String> {
    let ended = output(&mut site.command(arguments))?;
    let complaint = String::from_utf8(ended.stderr)?;
    ensure!(!ended.status.success(), "{complaint}");
    Ok(complaint)
}

/// Starts a backup, does `harm` while the files are copied, and checks that the backup fails and isn't listed. Returns its
/// messages.
fn fail_in_the_middle(site: &Site, harm: impl FnOnce(&mut Child) -> Result<()>) -> Result<String> {
    let copying = || {
        site.postgres.sql(
            "select count(*) from pg_stat_activity where application_name = 'swiftwal' and state = 'idle' \
             and query = 'SELECT timeline_id FROM pg_control_checkpoint()'",
        )
    };
    until("the server has given up an earlier backup", || Ok(copying()? == "0"))?;
    let mut backup = site.command(&BACKUP).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    until("the backup copies", || {
        ensure!(backup.try_wait()?.is_none(), "the backup ended before it could be disturbed");
        Ok(copying()? == "1")
    })?;
    harm(&mut backup)?;
    let ended = backup.wait_with_output()?;
    let said = String::from_utf8(ended.stderr)?;
    ensure!(!ended.status.success(), "{said}");
    let listed = String::from_utf8(output(&mut site.command(&["list-backups"]))?.stdout)?;
    assert_eq!(listed, "");
    Ok(said)
}
