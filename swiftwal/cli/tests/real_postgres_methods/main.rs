//! `backup --method local` and `--method replication` of a real PostgreSQL: what pg_basebackup does, and tablespaces.

mod local;
mod replication;

use std::{
    fs::OpenOptions,
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Result, ensure};
use xtask::{Site, descendants, output, stdout, until};

// What doesn't depend on the storage runs on a directory only.
xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_local_backup_taken_under_load_restores_every_row_that_was_archived,
    a_streamed_backup_taken_under_load_restores_every_row_that_was_archived,
    a_local_backup_with_tablespaces_outside_and_in_place_restores,
    a_streamed_backup_with_tablespaces_outside_and_in_place_restores,
);

fn site() -> Result<Site> {
    Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))
}

fn backup<'a>(method: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["backup", "--method", method, "-c", "fast"].into_iter().chain(more.iter().copied()).collect()
}

/// The method by default.
fn a_local_backup_taken_under_load_restores_every_row_that_was_archived(site: &Site) -> Result<()> {
    let said = back_up_under_load(site, "local")?;
    assert!(said.contains("the method of the backup is local: --method"), "{said}");
    Ok(())
}

fn a_streamed_backup_taken_under_load_restores_every_row_that_was_archived(site: &Site) -> Result<()> {
    back_up_under_load(site, "replication").map(drop)
}

/// Returns the messages of the backup.
fn back_up_under_load(site: &Site, method: &str) -> Result<String> {
    site.postgres.pgbench_init(5)?;
    let load = site.postgres.pgbench()?;
    let said = output(&mut site.command(&[&["-v"][..], &backup(method, &["-P"])].concat()))?;
    let said = String::from_utf8(said.stderr)?;
    load.end(&site.postgres)?;
    site.postgres.archive_all()?;
    expect_rows(site, "restored")?;
    Ok(said)
}

fn a_local_backup_with_tablespaces_outside_and_in_place_restores(site: &Site) -> Result<()> {
    back_up_tablespaces(site, "local")
}

fn a_streamed_backup_with_tablespaces_outside_and_in_place_restores(site: &Site) -> Result<()> {
    back_up_tablespaces(site, "replication")
}

fn back_up_tablespaces(site: &Site, method: &str) -> Result<()> {
    let (old, new) = (site.scratch.directory("old é")?, site.scratch.path().join("new"));
    site.postgres.sql(&format!("create tablespace outside location '{}'", old.display()))?;
    site.postgres.sql("create table t tablespace outside as select generate_series(1, 100000) x")?;
    // The restored server needs the setting, too.
    site.postgres.allow_in_place_tablespaces()?;
    site.postgres.sql("create tablespace inside location ''")?;
    site.postgres.sql("create table u tablespace inside as select generate_series(1, 1000) x")?;
    site.run(&backup(method, &["--xlog"]))?;
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

/// Gives the pages of the stopped server checksums.
fn enable_checksums(site: &Site) -> Result<()> {
    let mut enable = site.scratch.command("pg_checksums");
    stdout(enable.args(["--enable", "--no-sync", "-D"]).arg(site.postgres.data())).map(drop)
}

/// Damages pages of a relation's file of the stopped server.
fn damage(site: &Site, file: &str, blocks: &[u64]) -> Result<()> {
    let relation = OpenOptions::new().write(true).open(site.postgres.data().join(file))?;
    for block in blocks {
        relation.write_all_at(b"damage", block * 8192 + 4000)?;
    }
    Ok(())
}

/// Restores the last backup, and checks that the server starts with the rows of the original.
fn expect_rows(site: &Site, name: &str) -> Result<()> {
    let restored = site.restore(name, "latest", &[])?;
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
    for method in ["local", "replication"] {
        site.run(&backup(method, &["--xlog"]))?;
        assert_eq!(site.run(&["list-wal"])?, "");
        let stored = site.swiftwal.stored()?;
        assert!(stored.iter().any(|object| object.starts_with("backup_manifest_")), "{stored:?}");
        expect_rows(site, method)?;
        let slots = "select count(*) from pg_replication_slots";
        until("the slot is gone", || Ok(site.postgres.sql(slots)? == "0"))?;
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_that_is_killed_or_loses_its_session_is_not_listed() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(20)?;
    for method in ["local", "replication"] {
        fail_in_the_middle(site, method, |backup| Ok(backup.kill()?))?;
        let said = fail_in_the_middle(site, method, |_| {
            let sessions = "select pid from pg_stat_activity where application_name = 'swiftwal'";
            site.postgres.sql(&format!("select pg_terminate_backend(pid) from ({sessions}) s")).map(drop)
        })?;
        // The server's words may be lost behind the data.
        let words =
            ["terminating connection due to administrator command", "the server closed the connection"];
        assert!(words.iter().any(|words| said.contains(words)), "{said}");
    }
    site.run(&backup("local", &[]))?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

/// Returns the messages of a failed command, after checking that no backup is listed.
fn refused(site: &Site, arguments: &[&str]) -> Result<String> {
    let ended = output(&mut site.command(arguments))?;
    let complaint = String::from_utf8(ended.stderr)?;
    ensure!(!ended.status.success(), "{complaint}");
    let listed = String::from_utf8(output(&mut site.command(&["list-backups"]))?.stdout)?;
    assert_eq!(listed, "");
    Ok(complaint)
}

/// Starts a backup, does `harm` while the data is copied, and checks that the backup fails and isn't listed. Returns its
/// messages.
fn fail_in_the_middle(
    site: &Site,
    method: &str,
    harm: impl FnOnce(&mut Child) -> Result<()>,
) -> Result<String> {
    until("the server has given up an earlier backup", || Ok(!site.postgres.is_copied(method)?))?;
    let mut command = site.command(&backup(method, &[]));
    let mut backup = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    until("the backup copies", || {
        ensure!(backup.try_wait()?.is_none(), "the backup ended before it could be disturbed");
        site.postgres.is_copied(method)
    })?;
    let children = descendants(backup.id().try_into()?)?;
    ensure!(children.is_empty(), "it runs other programs: {children:?}");
    harm(&mut backup)?;
    let ended = backup.wait_with_output()?;
    let said = String::from_utf8(ended.stderr)?;
    ensure!(!ended.status.success(), "{said}");
    let listed = String::from_utf8(output(&mut site.command(&["list-backups"]))?.stdout)?;
    assert_eq!(listed, "");
    Ok(said)
}
