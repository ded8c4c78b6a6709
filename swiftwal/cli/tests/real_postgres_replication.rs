//! `backup --method replication` of a real PostgreSQL: what pg_basebackup does, and tablespaces.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Site, descendants, output, stdout, until};

// What doesn't depend on the storage runs on a directory only.
xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_backup_taken_under_load_restores_every_row_that_was_archived,
    a_backup_with_tablespaces_restores_into_other_places,
);

fn site() -> Result<Site> {
    Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))
}

const BACKUP: [&str; 5] = ["backup", "--method", "replication", "-c", "fast"];

fn backup<'a>(more: &[&'a str]) -> Vec<&'a str> {
    BACKUP.into_iter().chain(more.iter().copied()).collect()
}

fn a_backup_taken_under_load_restores_every_row_that_was_archived(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(5)?;
    let load = site.postgres.pgbench()?;
    site.run(&backup(&["-P"]))?;
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
    let stored = site.swiftwal.stored()?;
    assert!(stored.iter().any(|object| object.starts_with("backup_manifest_")), "{stored:?}");
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    until("the slot is gone", || Ok(site.postgres.sql("select count(*) from pg_replication_slots")? == "0"))
}

fn a_backup_with_tablespaces_restores_into_other_places(site: &Site) -> Result<()> {
    let (old, new) = (site.scratch.directory("old é")?, site.scratch.path().join("new"));
    site.postgres.sql(&format!("create tablespace outside location '{}'", old.display()))?;
    site.postgres.sql("create table t tablespace outside as select generate_series(1, 100000) x")?;
    site.run(&backup(&["--xlog"]))?;
    let mapping = format!("{}={}", old.display(), new.display());
    let restored = site.restore("restored", "latest", &["--tablespace-mapping", &mapping])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.sql("select count(*), sum(x) from t")?, "100000|5000050000");
    let place = "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'outside'";
    assert_eq!(restored.sql(place)?, new.display().to_string());
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_that_is_killed_or_loses_its_connection_or_the_server_is_not_listed() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(20)?;
    fail_in_the_middle(site, |backup| Ok(backup.kill()?))?;
    fail_in_the_middle(site, |_| {
        site.postgres.sql("select pg_terminate_backend(pid) from pg_stat_progress_basebackup").map(drop)
    })?;
    fail_in_the_middle(site, |_| site.postgres.crash())?;
    site.postgres.start()?;
    site.run(&BACKUP)?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_that_is_stopped_while_the_server_makes_its_checkpoint_ends_there_too() -> Result<()> {
    let site = &site()?;
    site.postgres.configure(&["checkpoint_timeout = 1h"])?;
    site.postgres.reload()?;
    site.postgres.pgbench_init(1)?;
    let mut backup = site.command(&["backup", "--method", "replication", "-c", "spread"]).spawn()?;
    let waiting = "select count(*) from pg_stat_progress_basebackup where phase ~ 'waiting for checkpoint'";
    until("the server makes its checkpoint", || Ok(site.postgres.sql(waiting)? == "1"))?;
    kill_process(Pid::from_child(&backup), Signal::INT)?;
    assert_eq!(backup.wait()?.code(), Some(130));
    until("the server has given up", || Ok(site.postgres.sql(waiting)? == "0"))?;
    assert!(site.postgres.log()?.contains("canceling statement due to user request"));
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_whose_wal_does_not_arrive_fails_within_the_timeout_and_names_the_segment() -> Result<()> {
    let site = &site()?;
    site.postgres.archive_nothing()?;
    let complaint = refused(site, &backup(&["--archive-timeout", "2"]))?;
    let missing = site.postgres.waiting_for_archive()?;
    assert!(missing.iter().any(|name| complaint.contains(name.as_str())), "{missing:?} in {complaint}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn without_a_server_backup_names_the_address_it_tried_and_stores_nothing() -> Result<()> {
    let site = &site()?;
    site.postgres.archive_nothing()?;
    site.postgres.stop()?;
    // The server may have archived a file before it read the setting.
    let stored = site.swiftwal.stored()?;
    let complaint = refused(site, &BACKUP)?;
    assert!(complaint.contains(&*site.scratch.path().to_string_lossy()), "{complaint}");
    assert!(complaint.contains("could not connect to the server"), "{complaint}");
    assert_eq!(site.swiftwal.stored()?, stored);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_password_comes_from_the_password_file_and_is_never_asked_for() -> Result<()> {
    let site = &site()?;
    site.postgres.sql("create role keeper login replication password 'hunter2'")?;
    site.postgres.archive_all()?;
    site.postgres.stop()?;
    let rules = "local all postgres trust\nlocal all,replication all scram-sha-256\n";
    fs::write(site.postgres.data().join("pg_hba.conf"), rules)?;
    site.postgres.start()?;
    let complaint = refused(site, &backup(&["-U", "keeper"]))?;
    assert!(complaint.contains("no password supplied") && complaint.contains("~/.pgpass"), "{complaint}");

    // The home directory of the command is the scratch directory.
    let pgpass = site.scratch.path().join(".pgpass");
    let script = "umask 077; echo '*:*:replication:keeper:hunter2' > \"$0\"";
    stdout(site.scratch.command("sh").args(["-euc", script]).arg(&pgpass))?;
    site.run(&backup(&["-U", "keeper"]))?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_copy_takes_the_last_replication_connection_if_there_is_but_one() -> Result<()> {
    let site = &site()?;
    site.postgres.configure(&["max_wal_senders = 1"])?;
    site.postgres.stop()?;
    site.postgres.start()?;
    let output = output(&mut site.command(&backup(&["--xlog"])))?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("no room for two replication connections"), "{said}");
    site.run(&BACKUP)?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_with_damaged_pages_is_kept_with_a_mark_and_ends_with_3() -> Result<()> {
    let site = &site()?;
    use std::os::unix::fs::FileExt;
    site.postgres.pgbench_init(1)?;
    let file = site.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?;
    site.postgres.stop()?;
    stdout(
        site.scratch.command("pg_checksums").args(["--enable", "--no-sync", "-D"]).arg(site.postgres.data()),
    )?;
    let relation = fs::OpenOptions::new().write(true).open(site.postgres.data().join(&file))?;
    relation.write_all_at(b"damage", 8192 + 4000)?;
    site.postgres.start()?;
    let output = output(&mut site.command(&backup(&["--json"])))?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("contains a page that was already damaged") && said.contains(&file), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(report["damaged_pages"], 1);
    assert_eq!(site.run(&["list-backups"])?.trim(), report["key"]);

    let restored = site.restore("restored", "latest", &[])?;
    assert!(fs::read(restored.data().join(&file))? == fs::read(site.postgres.data().join(&file))?);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn what_libpq_supports_and_this_method_does_not_is_refused_by_name() -> Result<()> {
    let site = &site()?;
    let output = output(site.command(&BACKUP).env("PGGSSENCMODE", "require"))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{complaint}");
    assert!(
        complaint.contains("gssencmode=require") && complaint.contains("--method pg_basebackup"),
        "{complaint}"
    );
    Ok(())
}

/// Returns the messages of a failed command, after checking that no backup is listed.
fn refused(site: &Site, arguments: &[&str]) -> Result<String> {
    let ended = output(&mut site.command(arguments))?;
    let complaint = String::from_utf8(ended.stderr)?;
    assert!(!ended.status.success(), "{complaint}");
    let listed = String::from_utf8(output(&mut site.command(&["list-backups"]))?.stdout)?;
    assert_eq!(listed, "");
    Ok(complaint)
}

/// Starts a backup, does `harm` while the data is sent, and checks that the backup fails and isn't listed.
fn fail_in_the_middle(site: &Site, harm: impl FnOnce(&mut Child) -> Result<()>) -> Result<()> {
    let streaming =
        || site.postgres.sql("select count(*) from pg_stat_progress_basebackup where backup_streamed > 0");
    until("the server has given up an earlier backup", || Ok(streaming()? == "0"))?;
    let mut backup = site.command(&BACKUP).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    until("the backup streams", || {
        ensure!(backup.try_wait()?.is_none(), "the backup ended before it could be disturbed");
        Ok(streaming()? == "1")
    })?;
    let children = descendants(backup.id().try_into()?)?;
    ensure!(children.is_empty(), "it runs other programs: {children:?}");
    harm(&mut backup)?;
    ensure!(!backup.wait()?.success());
    let listed = String::from_utf8(output(&mut site.command(&["list-backups"]))?.stdout)?;
    assert_eq!(listed, "");
    Ok(())
}
