//! `restore-wal` as the `restore_command` of recovering servers and warm standbys.

use std::fs;

use anyhow::Result;
use xtask::{Postgres, Site, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_standby_fed_by_restore_wal_alone_takes_over_and_its_timeline_restores,
    an_absent_segment_ends_recovery_but_a_missing_repository_stops_the_server,
);

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

/// Replaces a text in the configuration that `restore` wrote.
fn replace_in_settings(restored: &Postgres, old: &str, new: &str) -> Result<()> {
    let path = restored.data().join("postgresql.auto.conf");
    let settings = fs::read_to_string(&path)?;
    assert!(settings.contains(old), "{settings}");
    Ok(fs::write(&path, settings.replace(old, new))?)
}
