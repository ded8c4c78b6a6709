//! Missing WAL with later WAL behind it: recovery stops there, and each documented way out works.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use xtask::{Postgres, Site, stdout, until};

mod file {
    use super::*;

    xtask::on_versions! {
        env!("CARGO_BIN_EXE_swiftwal");
        postgresql_15, 15: a_hole_stops_recovery_and_each_way_out_works,
            wal_behind_a_branch_is_not_replayed_in_place_of_a_missing_segment;
        postgresql_18, 18: a_hole_stops_recovery_and_each_way_out_works, a_timeline_whose_history_is_missing;
    }
}

const COPY: [&str; 2] = ["--archive-mode", "off"];

fn a_hole_stops_recovery_and_each_way_out_works(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    let early = restore_point(server, "early")?;
    server.archive_all()?;
    // Much more WAL than PostgreSQL reads ahead.
    server.sql("update pgbench_accounts set abalance = abalance + 1 where aid <= 20000")?;
    site.swiftwal.wait_for_end_of_backups(server)?;
    let moment = server.sql("select clock_timestamp()")?;
    let near = restore_point(server, "near")?;
    server.archive_all()?;
    server.sql("delete from pgbench_accounts where aid % 7 = 0")?;
    let missing = server.sql("select pg_walfile_name(pg_switch_wal())")?;
    server.sql("delete from pgbench_accounts where aid % 5 = 0")?;
    let end = server.rows()?;
    server.archive_all()?;
    let lost = site.scratch.directory("lost")?.join(&missing);
    site.run(&["restore-wal", &missing, &lost.to_string_lossy()])?;
    remove(site, &missing)?;
    age_wal(site)?;
    let hole = format!("WAL segment {missing} is missing in ");

    let restored = site.restore("restored", "latest", &COPY)?;
    expect_stop(&restored, &hole, 1)?;
    // PostgreSQL reads in pg_wal what the archive lacks; what a crashed server had written of the segment isn't enough.
    let whole = fs::read(&lost)?;
    let torn = [&whole[..3 * 8192], &vec![0; whole.len() - 3 * 8192]].concat();
    let local = restored.data().join("pg_wal").join(&missing);
    fs::write(&local, torn)?;
    let owner = restored.data().metadata()?;
    chown(&local, Some(owner.uid()), Some(owner.gid()))?;
    expect_stop(&restored, &hole, 2)?;
    fs::write(&local, whole)?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, end);

    for (name, target, rows) in [
        ("well-before", &["--target-name", "early", "--target-action", "promote"][..], &early),
        ("near", &["--target-name", "near", "--target-action", "promote", "--end-at-hole"], &near),
        ("without-target", &["--end-at-hole"], &near),
    ] {
        let copy = site.restore(name, "latest", &[target, &COPY].concat())?;
        copy.start().with_context(|| name.to_owned())?;
        copy.wait_for_promotion()?;
        assert_eq!(copy.rows()?, *rows, "{name}");
    }
    // No transaction after that moment is left, with which PostgreSQL could notice that it has come.
    let options = ["--target-time", &moment, "--target-action", "promote", "--end-at-hole"];
    let at_moment = site.restore("at-moment", "latest", &[&options[..], &COPY].concat())?;
    expect_stop(&at_moment, "recovery ended before configured recovery target was reached", 1)?;
    site.run(&["archive-wal", &lost.to_string_lossy()])?;
    at_moment.start()?;
    at_moment.wait_for_promotion()?;
    assert_eq!(at_moment.rows()?, near);
    Ok(())
}

fn a_timeline_whose_history_is_missing(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    site.postgres.archive_all()?;
    site.postgres.stop()?;
    let second = site.restore("second", "latest", &[])?;
    second.start()?;
    second.wait_for_promotion()?;
    second.sql("delete from pgbench_accounts where aid % 7 = 0")?;
    second.archive_all()?;
    remove(site, "00000002.history")?;
    age_wal(site)?;

    let first = site.restore("first", "latest", &COPY)?;
    expect_stop(&first, "timeline 2 is in use: its WAL is stored", 1)?;
    // A server that begins on the timeline doesn't need its history.
    let mut backup = site.swiftwal.command(&["backup", "-c", "fast"]);
    stdout(backup.envs(second.environment()))?;
    second.sql("delete from pgbench_accounts where aid % 5 = 0")?;
    second.archive_all()?;
    let third = site.restore("third", "latest", &COPY)?;
    third.start()?;
    third.wait_for_promotion()?;
    assert_eq!(third.rows()?, second.rows()?);
    Ok(())
}

/// As after a recovery to a point in time, while the first server's WAL remains in the repository.
fn wal_behind_a_branch_is_not_replayed_in_place_of_a_missing_segment(site: &Site) -> Result<()> {
    let first = &site.postgres;
    first.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    first.archive_all()?;
    let before = first.rows()?;
    first.sql("delete from pgbench_accounts where aid <= 10")?;
    let branch = restore_point(first, "branch")?;
    let segment = first.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")?;
    first.sql("delete from pgbench_accounts where aid <= 20")?;
    ensure!(first.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")? == segment);
    let behind = first.rows()?;
    first.archive_all()?;
    first.stop()?;
    let second =
        site.restore("second", "latest", &["--target-name", "branch", "--target-action", "promote"])?;
    second.start()?;
    second.wait_for_promotion()?;
    assert_eq!(second.rows()?, branch);
    second.sql("delete from pgbench_accounts where aid <= 30")?;
    second.archive_all()?;
    second.sql("delete from pgbench_accounts where aid <= 40")?;
    let end = second.rows()?;
    second.archive_all()?;
    let missing = segment.replacen("00000001", "00000002", 1);
    let lost = site.scratch.directory("lost")?.join(&missing);
    site.run(&["restore-wal", &missing, &lost.to_string_lossy()])?;
    remove(site, &missing)?;
    age_wal(site)?;

    // Of the same number, there is only the first server's segment.
    let refused = "isn't replayed: timeline 2 branched off";
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.start()?;
    until("the standby has asked for it", || Ok(standby.log()?.contains(refused)))?;
    assert_eq!(standby.rows()?, before);
    let (stored, aside) = (repository(site)?, site.scratch.directory("aside")?);
    move_segments_of_timeline_2(site, &stored, &aside)?;
    // No hole any more, since nothing of timeline 2 is left but its history.
    let restored = site.restore("restored", "latest", &COPY)?;
    expect_stop(&restored, refused, 1)?;
    let settings = File::options().append(true).open(restored.data().join("postgresql.auto.conf"));
    settings?.write_all(b"recovery_target_timeline = '1'\n")?;
    expect_stop(&restored, refused, 2)?;
    fs::remove_file(restored.data().join("pg_wal/00000002.history"))?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, behind);

    move_segments_of_timeline_2(site, &aside, &stored)?;
    site.run(&["archive-wal", &lost.to_string_lossy()])?;
    until("the standby has followed", || Ok(standby.rows()? == end))?;
    remove(site, &missing)?;
    let given_up = site.restore("given-up", "latest", &["--end-at-hole"])?;
    given_up.start()?;
    given_up.wait_for_promotion()?;
    assert_eq!(given_up.rows()?, before);
    // Its timeline began before the one from which it branched off.
    given_up.sql("delete from pgbench_accounts where aid <= 50")?;
    given_up.archive_all()?;
    let copy = site.restore("copy", "latest", &COPY)?;
    copy.start()?;
    copy.wait_for_promotion()?;
    assert_eq!(copy.rows()?, given_up.rows()?);
    Ok(())
}

/// Creates a restore point at the end of the WAL, and returns the rows there.
fn restore_point(server: &Postgres, name: &str) -> Result<(u64, String)> {
    server.sql(&format!("select pg_create_restore_point('{name}')"))?;
    server.rows()
}

/// Starts the server, and returns when it has stopped by itself for the `count`th time for this reason.
fn expect_stop(server: &Postgres, reason: &str, count: usize) -> Result<()> {
    // It may accept connections before it comes to the hole.
    let _ = server.start();
    until("recovery has stopped", || {
        let is_told = server.log()?.matches(reason).count() >= count;
        Ok(is_told && !server.data().join("postmaster.pid").exists())
    })
}

/// Moves the stored segments of timeline 2 into another directory.
fn move_segments_of_timeline_2(site: &Site, from: &Path, to: &Path) -> Result<()> {
    let command = "mv \"$0\"/wal_00000002[0-9A-F]* \"$1\"";
    stdout(site.scratch.command("sh").args(["-euc", command]).args([from, to])).map(drop)
}

/// Removes a WAL file from the repository.
fn remove(site: &Site, name: &str) -> Result<()> {
    Ok(fs::remove_file(repository(site)?.join(format!("wal_{name}.zst")))?)
}

/// Sets the date of the stored WAL back, so that nothing is on its way.
fn age_wal(site: &Site) -> Result<()> {
    let touch = "touch -d '1 hour ago' \"$0\"/wal_*";
    stdout(site.scratch.command("sh").args(["-euc", touch]).arg(repository(site)?)).map(drop)
}

fn repository(site: &Site) -> Result<PathBuf> {
    let (_, url) = site.swiftwal.variable();
    Ok(url.strip_prefix("file://").context("a directory")?.into())
}
