//! `restore` to a point in time: the rows are those of that time.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    process::Stdio,
};

use anyhow::{Result, ensure};
use xtask::{Postgres, Site, output, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    each_kind_of_target_restores_the_rows_of_its_moment,
    a_restore_that_was_killed_starts_no_server_and_the_next_one_does,
    after_a_prune_the_kept_backup_restores_and_an_earlier_moment_is_refused,
    a_file_whose_name_is_not_utf_8_is_backed_up_and_restored,
    a_copy_without_archiving_leaves_no_trace_in_the_repository,
    a_stray_timeline_is_asked_about_each_branch_restores_and_it_can_be_given_up,
    a_delta_restore_takes_a_stopped_server_back_to_the_backup,
    a_delta_restore_removes_no_wal_that_was_never_archived,
);

/// The number of rows and their checksum.
type Rows = (u64, String);

fn each_kind_of_target_restores_the_rows_of_its_moment(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    let mut moments: Vec<(Vec<String>, Rows)> = Vec::new();
    let mut note = |option: &str, value: &str| -> Result<()> {
        let target = format!("{option}={value}").trim_end_matches('=').to_owned();
        moments.push((vec![target], server.rows()?));
        change(server)
    };
    site.run(&["backup", "-c", "fast"])?;
    note("--target-immediate", "")?;
    site.swiftwal.wait_for_end_of_backups(server)?;
    note("--target-time", &now(server)?)?;
    server.sql("select pg_create_restore_point('before the upgrade')")?;
    note("--target-name", "before the upgrade")?;
    note("--target-xid", &change_with_xid(server)?)?;
    note("--target-lsn", &server.sql("select pg_current_wal_lsn()")?)?;
    server.archive_all()?;

    for (number, (target, rows)) in moments.iter().enumerate() {
        let mut options: Vec<&str> = target.iter().map(String::as_str).collect();
        // Otherwise each copy would add a timeline to the repository.
        options.extend(["--target-action", "promote", "--archive-mode", "off"]);
        let restored = site.restore(&format!("restored{number}"), "latest", &options)?;
        restored.start()?;
        restored.wait_for_promotion()?;
        assert_eq!(restored.rows()?, *rows, "{target:?}");
    }
    Ok(())
}

fn a_restore_that_was_killed_starts_no_server_and_the_next_one_does(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(20)?;
    site.run(&["backup", "-c", "fast"])?;
    site.postgres.archive_all()?;
    let killed = Postgres::open(&site.scratch, &site.scratch.path().join("killed"));
    let mut command = site.command(&["restore", "latest", &killed.data().to_string_lossy()]);
    let mut restore = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    until("files are written", || {
        ensure!(restore.try_wait()?.is_none(), "the restore ended before it could be killed");
        Ok(killed.data().join("base").exists())
    })?;
    restore.kill()?;
    assert!(!restore.wait()?.success() && !killed.data().join("global/pg_control").exists());
    assert!(killed.start().is_err());

    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

fn after_a_prune_the_kept_backup_restores_and_an_earlier_moment_is_refused(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    let early = now(server)?;
    change(server)?;
    site.run(&["backup", "-c", "fast"])?;
    change(server)?;
    site.swiftwal.wait_for_end_of_backups(server)?;
    let (late, rows) = (now(server)?, server.rows()?);
    change(server)?;
    server.archive_all()?;

    let wal_before = site.run(&["list-wal"])?.lines().count();
    site.run(&["prune", "--keep-backups", "1", "--keep-wals", "0"])?;
    assert!(site.run(&["list-wal"])?.lines().count() < wal_before);

    let restored = site.restore("late", "latest", &["--target-time", &late, "--target-action", "promote"])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, rows);

    let directory = site.scratch.path().join("early");
    let target = ["restore", "latest", &directory.to_string_lossy(), "--target-time", &early];
    let output = output(&mut site.command(&target))?;
    assert!(!output.status.success() && !directory.exists(), "{output:?}");
    Ok(())
}

fn a_file_whose_name_is_not_utf_8_is_backed_up_and_restored(site: &Site) -> Result<()> {
    let name = OsStr::from_bytes(b"caf\xe9 \x1b[2J.bak");
    let left = site.postgres.data().join(name);
    std::fs::write(&left, "left there by a person")?;
    // The server must be able to read it.
    let owner = site.postgres.data().metadata()?;
    std::os::unix::fs::chown(&left, Some(owner.uid()), Some(owner.gid()))?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    let restored = site.restore("restored", "latest", &[])?;
    assert_eq!(std::fs::read(restored.data().join(name))?, b"left there by a person");
    restored.start()?;
    restored.wait_for_promotion()?;
    Ok(())
}

fn a_copy_without_archiving_leaves_no_trace_in_the_repository(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    site.postgres.archive_all()?;
    let before = site.run(&["list-wal"])?;
    let copy = site.restore("copy", "latest", &["--archive-mode", "off"])?;
    copy.start()?;
    copy.wait_for_promotion()?;
    assert_eq!(copy.sql("show archive_mode")?, "off");
    copy.sql("select pg_switch_wal()")?;
    copy.stop()?;
    assert_eq!(site.run(&["list-wal"])?, before, "a timeline of the copy would be in it");
    Ok(())
}

fn a_stray_timeline_is_asked_about_each_branch_restores_and_it_can_be_given_up(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    server.archive_all()?;
    // Archiving wasn't disabled.
    let copy = site.restore("copy", "latest", &[])?;
    copy.start()?;
    copy.wait_for_promotion()?;
    change(&copy)?;
    copy.archive_all()?;
    let rows_of_copy = copy.rows()?;
    copy.stop()?;
    for _ in 0..2 {
        change(server)?;
        site.run(&["backup", "-c", "fast"])?;
    }
    change(server)?;
    server.archive_all()?;
    let rows = server.rows()?;

    let directory = site.scratch.path().join("asked");
    let asked = output(&mut site.command(&["restore", "latest", &directory.to_string_lossy()]))?;
    assert!(!asked.status.success() && !directory.exists(), "{asked:?}");
    let restores = |name: &str, options: &[&str], expected: &Rows| -> Result<()> {
        let restored = site.restore(name, "latest", &[options, &["--archive-mode", "off"]].concat())?;
        restored.start()?;
        restored.wait_for_promotion()?;
        assert_eq!(restored.rows()?, *expected, "{name}");
        Ok(())
    };
    for (timeline, expected) in [("1", &rows), ("2", &rows_of_copy)] {
        let option = ["--target-timeline", timeline];
        assert!(String::from_utf8_lossy(&asked.stderr).contains(&option.join(" ")), "{asked:?}");
        restores(&format!("on_{timeline}"), &option, expected)?;
    }
    site.run(&["timeline", "discard", "2", "--yes"])?;
    restores("after_the_discard", &[], &rows)
}

fn a_delta_restore_takes_a_stopped_server_back_to_the_backup(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(5)?;
    let rows = server.rows()?;
    site.run(&["backup", "-c", "fast"])?;
    server.archive_all()?;
    let options = ["--target-immediate", "--target-action", "promote", "--archive-mode", "off"];
    let restored = site.restore("restored", "latest", &options)?;
    restored.start()?;
    restored.wait_for_promotion()?;
    restored.sql("create table added as select generate_series(1, 1000)")?;
    restored.sql("drop table pgbench_history")?;
    change(&restored)?;
    restored.sql("checkpoint")?;

    let data = restored.data().to_string_lossy().into_owned();
    let delta = [&["--json", "restore", "latest", &data, "--delta"], &options[..]].concat();
    let running = output(&mut site.command(&delta))?;
    let told = String::from_utf8_lossy(&running.stderr).into_owned();
    assert!(!running.status.success() && told.contains("PostgreSQL is running in"), "{running:?}");
    assert_eq!(restored.sql("select count(*) from added")?, "1000");
    restored.crash()?;
    // As after a failure of the power.
    std::fs::write(restored.data().join("postmaster.pid"), "1\n")?;
    let crashed = output(&mut site.command(&delta))?;
    assert!(!crashed.status.success(), "postmaster.pid is there: {crashed:?}");
    std::fs::remove_file(restored.data().join("postmaster.pid"))?;

    let crashed = output(&mut site.command(&delta))?;
    let told = String::from_utf8_lossy(&crashed.stderr).into_owned();
    assert!(!crashed.status.success() && told.contains("give --discard-wal"), "{crashed:?}");

    let delta = [&delta[..], &["--discard-wal"]].concat();
    let stats: serde_json::Value = serde_json::from_str(&site.run(&delta)?)?;
    let number = |name: &str| stats[name].as_u64().unwrap_or_default();
    // pgbench_accounts was changed; nearly all the other files are the same.
    assert!(number("kept_files") * 10 > number("files") * 9, "{stats}");
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, rows);
    assert!(restored.sql("select count(*) from added").is_err());
    assert_eq!(restored.sql("select count(*) from pgbench_history")?, "0");
    Ok(())
}

fn a_delta_restore_removes_no_wal_that_was_never_archived(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    server.archive_all()?;
    server.archive_nothing()?;
    change(server)?;
    let segment = server.sql("select pg_walfile_name(pg_switch_wal())")?;
    let rows = server.rows()?;
    server.stop()?;

    let data = server.data().to_string_lossy().into_owned();
    let delta = ["restore", "latest", &data, "--delta"];
    let refused = output(&mut site.command(&delta))?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains(&format!("from {segment} on")), "{refused:?}");
    assert!(server.data().join("global/pg_control").exists());
    // As the message says.
    let status = std::fs::read_dir(server.data().join("pg_wal/archive_status"))?;
    for entry in status {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".ready") {
            site.run(&["archive-wal", &server.data().join("pg_wal").join(name).to_string_lossy()])?;
        }
    }
    site.run(&delta)?;
    server.start()?;
    server.wait_for_promotion()?;
    assert_eq!(server.rows()?, rows);
    Ok(())
}

fn change(server: &Postgres) -> Result<()> {
    change_with_xid(server).map(drop)
}

/// Changes rows in a transaction, and returns its id.
fn change_with_xid(server: &Postgres) -> Result<String> {
    server.sql(
        "with changed as (update pgbench_accounts set abalance = abalance + 1 where aid % 1000 = 0 returning aid)
         select distinct txid_current() from changed",
    )
}

fn now(server: &Postgres) -> Result<String> {
    server.sql("select clock_timestamp()")
}
