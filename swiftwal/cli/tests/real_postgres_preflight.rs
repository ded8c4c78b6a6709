//! What `backup` checks before the copy and during it, on a separate connection.

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use xtask::{Place, Process, Site, descendants, output, until};

fn site() -> Result<Site> {
    Site::start(Path::new(env!("CARGO_BIN_EXE_swiftwal")))
}

/// Returns the messages of a failed command, after checking that only WAL is stored.
fn refused(site: &Site, arguments: &[&str]) -> Result<String> {
    let output = output(&mut site.command(arguments))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{complaint}");
    let stored = site.swiftwal.stored()?;
    let of_backup = stored.iter().filter(|name| !name.starts_with("wal_") && *name != "cluster.json");
    assert_eq!(of_backup.count(), 0, "{stored:?}");
    Ok(complaint)
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_server_that_archives_nothing_is_refused_unless_the_wal_is_inside() -> Result<()> {
    let site = site()?;
    for (setting, named) in
        [("archive_command = ''", "archive_command is empty"), ("archive_mode = off", "archive_mode is off")]
    {
        site.postgres.configure(&[setting])?;
        site.postgres.stop()?;
        site.postgres.start()?;
        let complaint = refused(&site, &["backup", "-c", "fast"])?;
        assert!(complaint.contains(named) && complaint.contains("--xlog"), "{complaint}");
        let log = site.postgres.log()?;
        assert!(!log.contains("BASE_BACKUP") && !log.contains("ERROR"), "{log}");
    }
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn what_the_server_warns_of_is_shown_and_reported() -> Result<()> {
    let site = site()?;
    let (hba, elsewhere) =
        (site.postgres.data().join("pg_hba.conf"), site.scratch.path().join("pg_hba.conf"));
    fs::copy(&hba, &elsewhere)?;
    fs::remove_file(&hba)?;
    std::os::unix::fs::symlink(&elsewhere, &hba)?;
    let warning = "skipping special file \"./pg_hba.conf\"";
    let output = output(&mut site.command(&["--json", "backup", "--method", "pg_basebackup", "-c", "fast"]))?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains(warning), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    assert_eq!(report["warnings"].to_string().matches("skipping special file").count(), 1, "{report}");
    assert!(report["stored_bytes"].as_u64() > Some(0) && report["key"].is_string(), "{report}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_method_is_the_fastest_that_is_possible() -> Result<()> {
    let site = site()?;
    site.postgres.sql("create role keeper login replication")?;
    let chosen = |arguments: &[&str]| -> Result<String> {
        let backup = ["-v", "backup", "-c", "fast"];
        let output = output(&mut site.command(&[&backup, arguments].concat()))?;
        let said = String::from_utf8(output.stderr)?;
        assert!(output.status.success(), "{said}");
        Ok(said)
    };
    let said = chosen(&[])?;
    assert!(said.contains("is local: the server's files can be read here"), "{said}");
    let said = chosen(&["-U", "keeper"])?;
    assert!(said.contains("is replication: local isn't possible:"), "{said}");
    site.postgres.sql("grant pg_read_all_settings to keeper")?;
    let said = chosen(&["-U", "keeper"])?;
    assert!(said.contains("local isn't possible: the role may not begin and end a backup"), "{said}");
    site.postgres.sql("grant execute on function pg_backup_start, pg_backup_stop to keeper")?;
    let said = chosen(&["-U", "keeper"])?;
    assert!(said.contains("is local:"), "{said}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn with_xlog_a_busy_server_that_keeps_no_wal_loses_none() -> Result<()> {
    let site = site()?;
    site.postgres.configure(&["wal_keep_size = 0", "min_wal_size = 32MB", "max_wal_size = 32MB"])?;
    site.postgres.reload()?;
    site.postgres.pgbench_init(20)?;
    let mut backup = in_the_middle(&site, &["backup", "--method", "pg_basebackup", "--xlog", "-c", "fast"])?;
    let frozen = Pid::from_child(&backup);
    kill_process(frozen, Signal::STOP)?;
    for _ in 0..5 {
        site.postgres.sql("select pg_switch_wal()")?;
        site.postgres.sql("create table if not exists t (x int)")?;
        site.postgres.sql("insert into t values (1)")?;
        site.postgres.sql("checkpoint")?;
    }
    kill_process(frozen, Signal::CONT)?;
    assert!(backup.wait()?.success(), "{}", site.postgres.log()?);
    until("the slot is gone", || Ok(site.postgres.sql("select count(*) from pg_replication_slots")? == "0"))?;
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn without_a_slot_to_be_had_xlog_says_so_and_goes_on() -> Result<()> {
    let site = site()?;
    site.postgres.configure(&["max_replication_slots = 0"])?;
    site.postgres.stop()?;
    site.postgres.start()?;
    let output = output(&mut site.command(&["backup", "--method", "pg_basebackup", "--xlog", "-c", "fast"]))?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("wal_keep_size"), "{said}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_copy_takes_the_last_replication_connection_if_there_is_but_one() -> Result<()> {
    let site = site()?;
    site.postgres.configure(&["max_wal_senders = 1"])?;
    site.postgres.stop()?;
    site.postgres.start()?;
    let output = output(&mut site.command(&["backup", "--method", "pg_basebackup", "--xlog", "-c", "fast"]))?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("no room for two replication connections"), "{said}");
    site.run(&["backup", "--method", "pg_basebackup", "-c", "fast"])?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_first_backup_lets_the_servers_archiver_in_before_the_copy() -> Result<()> {
    let site = site()?;
    site.run(&["backup", "-c", "fast"])?;
    let Place::Directory(repository) = site.swiftwal.place() else {
        bail!("the repository isn't a directory")
    };
    for name in site.swiftwal.stored()? {
        fs::remove_file(repository.join(name))?;
    }
    let refused = output(&mut site.command(&["backup", "-c", "fast"]))?;
    assert!(!refused.status.success(), "{refused:?}");
    // The server's archive_command has no --create.
    site.run(&["backup", "-c", "fast", "--create"])?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_killed_backup_leaves_no_process_and_no_slot() -> Result<()> {
    let site = site()?;
    site.postgres.pgbench_init(20)?;
    let mut backup = in_the_middle(&site, &["backup", "--method", "pg_basebackup", "--xlog", "-c", "fast"])?;
    let children = descendants(backup.id().try_into()?)?;
    let named = |name: &str| children.iter().any(|child| child.name == name);
    assert!(named("psql") && named("pg_basebackup"), "{children:?}");
    backup.kill()?;
    backup.wait()?;
    children.iter().try_for_each(Process::wait_for_end)?;
    until("the slot is gone", || Ok(site.postgres.sql("select count(*) from pg_replication_slots")? == "0"))
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_standby_is_not_taken_for_a_server_that_archives_nothing() -> Result<()> {
    let site = site()?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    site.postgres.configure(&["archive_mode = off"])?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.configure(&["archive_mode = off", "hot_standby = on"])?;
    standby.start()?;
    let mut command = site.swiftwal.command(&["backup", "-c", "fast", "--archive-timeout", "1"]);
    let output = output(command.envs(standby.environment()))?;
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("its primary must archive"), "{said}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_times_of_a_backup_are_the_servers_whatever_its_zone() -> Result<()> {
    let site = site()?;
    site.postgres.configure(&["log_timezone = 'America/New_York'"])?;
    site.postgres.reload()?;
    let moment = || -> Result<f64> { Ok(site.postgres.sql("select extract(epoch from now())")?.parse()?) };
    let before = moment()?;
    let report: serde_json::Value = serde_json::from_str(&site.run(&["--json", "backup", "-c", "fast"])?)?;
    let after = moment()?;
    let time = |field: &str| -> Result<f64> {
        let time: jiff::Timestamp = report[field].as_str().context("a time")?.parse()?;
        Ok(time.as_second() as f64)
    };
    // A label gives whole seconds, and the end is rounded up.
    assert!((before - 1.0..=after).contains(&time("started")?), "{before} {report} {after}");
    assert!((time("started")?..=after + 2.0).contains(&time("finished")?), "{before} {report} {after}");
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn progress_tells_how_much_of_what_is_expected_is_done() -> Result<()> {
    let site = site()?;
    let mut command = site.command(&["backup", "-P", "-c", "fast"]);
    let output = output(&mut command)?;
    let said = String::from_utf8(output.stderr)?;
    assert!(said.contains("waiting for the server's checkpoint") && said.contains("(100 %)"), "{said}");
    let told = String::from_utf8(output.stdout)?;
    let last = told.lines().last().context("a closing line")?;
    assert!(last.contains(" is complete: ") && last.contains("it needs WAL 0000"), "{told}");
    Ok(())
}

/// Returns a backup that is receiving data.
fn in_the_middle(site: &Site, arguments: &[&str]) -> Result<Child> {
    let streaming =
        || site.postgres.sql("select count(*) from pg_stat_progress_basebackup where backup_streamed > 0");
    let mut command = site.command(arguments);
    let backup = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    until("the backup streams", || Ok(streaming()? == "1"))?;
    Ok(backup)
}
