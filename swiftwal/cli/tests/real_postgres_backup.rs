//! `backup` of a real PostgreSQL: what is listed restores, and what failed isn't listed.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use xtask::{Process, Site, descendants, output, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_taken_under_load_restores_every_row_that_was_archived() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    site.postgres.pgbench_init(5)?;
    let load = site.postgres.pgbench(90)?;
    let said = site.run(&["-v", "backup", "-c", "fast"])?;
    load.end(&site.postgres)?;
    site.postgres.archive_all()?;

    let key = site.run(&["list-backups"])?;
    let key = key.trim_end();
    assert!(said.starts_with(&format!("Creating backup {key} in ")), "{said}");
    assert!(said.contains("\nSTART WAL LOCATION: "), "{said}");
    assert!(said.ends_with(&site.run(&["label", key])?), "{said}");
    let restored = site.restore("restored", key, &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_with_xlog_restores_without_any_wal_in_the_repository() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    archive_nothing(&site)?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "--xlog", "-c", "fast"])?;
    assert_eq!(site.run(&["list-wal"])?, "");
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_whose_pg_basebackup_is_killed_or_whose_server_stops_is_not_listed() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    site.postgres.pgbench_init(20)?;
    fail_in_the_middle(&site, |backup| {
        let children = descendants(backup)?;
        children.iter().find(|child| child.name == "pg_basebackup").map(Process::kill).context("no child")
    })?;
    fail_in_the_middle(&site, |_| site.postgres.crash())?;

    site.postgres.start()?;
    site.run(&["backup", "-c", "fast"])?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_whose_wal_does_not_arrive_fails_within_the_timeout_and_names_the_segment() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    archive_nothing(&site)?;
    let complaint = refused(&site, &["backup", "-c", "fast", "--archive-timeout", "2"])?;
    let missing = site.postgres.waiting_for_archive()?;
    assert!(missing.iter().any(|name| complaint.contains(name.as_str())), "{missing:?} in {complaint}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_cluster_with_a_tablespace_is_refused_before_anything_is_stored() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    archive_nothing(&site)?;
    let elsewhere = site.scratch.directory("elsewhere")?;
    site.postgres.sql(&format!("create tablespace elsewhere location '{}'", elsewhere.display()))?;
    let complaint = refused(&site, &["backup", "-c", "fast"])?;
    assert!(complaint.contains("tablespace"), "{complaint}");
    assert_eq!(site.swiftwal.stored()?, [""; 0]);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn without_a_server_backup_names_the_address_it_tried_and_stores_nothing() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    archive_nothing(&site)?;
    site.postgres.stop()?;
    let complaint = refused(&site, &["backup", "-c", "fast"])?;
    assert!(complaint.contains(&*site.scratch.path().to_string_lossy()), "{complaint}");
    assert_eq!(site.swiftwal.stored()?, [""; 0]);
    Ok(())
}

/// From now on the server tries to archive, in vain.
fn archive_nothing(site: &Site) -> Result<()> {
    site.postgres.configure(&["archive_command = 'false'"])?;
    site.postgres.reload()
}

/// What the failed command wrote to standard error; no backup is listed afterwards.
fn refused(site: &Site, arguments: &[&str]) -> Result<String> {
    let output = output(&mut site.command(arguments))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{complaint}");
    assert_eq!(site.run(&["list-backups"])?, "");
    Ok(complaint)
}

/// Starts a backup, does `harm` (given the process id) while the data streams, and sees it fail unlisted.
fn fail_in_the_middle(site: &Site, harm: impl FnOnce(i32) -> Result<()>) -> Result<()> {
    let mut command = site.command(&["backup", "-c", "fast"]);
    let mut backup = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let streaming = "select count(*) from pg_stat_progress_basebackup where backup_streamed > 0";
    until("the backup streams", || Ok(site.postgres.sql(streaming)? == "1"))?;
    harm(backup.id().try_into()?)?;
    assert!(!backup.wait()?.success());
    assert_eq!(site.run(&["list-backups"])?, "");
    Ok(())
}
