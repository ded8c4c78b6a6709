//! `restore-wal` as the `restore_command` of recovering servers and warm standbys.

use std::path::Path;

use anyhow::Result;
use xtask::{Site, stdout, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_standby_fed_by_restore_wal_alone_takes_over_and_its_timeline_restores() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
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

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn an_absent_segment_ends_recovery_but_a_missing_repository_stops_the_server() -> Result<()> {
    let site = Site::start(Path::new(PROGRAM))?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    site.postgres.archive_all()?;
    let whole = site.restore("whole", "latest", &[])?;
    let cut_off = site.restore("cut_off", "latest", &[])?;

    let repository = site.swiftwal.directory();
    stdout(site.scratch.command("mv").arg(repository).arg("away"))?;
    assert!(cut_off.start().is_err());
    stdout(site.scratch.command("mv").arg("away").arg(repository))?;
    assert!(!cut_off.data().join("pg_wal/00000002.history").exists(), "it promoted:\n{}", cut_off.log()?);

    whole.start()?;
    whole.wait_for_promotion()?;
    // What stopped without harm goes on where the repository is back.
    cut_off.start()?;
    cut_off.wait_for_promotion()?;
    assert_eq!(cut_off.rows()?, whole.rows()?);
    Ok(())
}
