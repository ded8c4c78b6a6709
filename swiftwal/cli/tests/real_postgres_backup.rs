//! `backup` of a real PostgreSQL: every listed backup can be restored, and a failed one isn't listed.

use std::fs;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use xtask::{Process, Site, descendants, output, stdout, until};

xtask::on_file_swift_and_ceph!(
    env!("CARGO_BIN_EXE_swiftwal"),
    a_backup_taken_under_load_restores_every_row_that_was_archived,
    a_backup_with_xlog_restores_without_any_wal_in_the_repository,
    a_backup_that_is_killed_or_loses_pg_basebackup_or_the_server_is_not_listed,
    a_backup_whose_wal_does_not_arrive_fails_within_the_timeout_and_names_the_segment,
    a_cluster_with_a_tablespace_is_refused_before_anything_is_stored,
    without_a_server_backup_names_the_address_it_tried_and_stores_nothing,
    backup_never_asks_for_a_password,
    backup_prints_its_key_and_with_v_the_label,
    a_backup_whose_report_cannot_be_written_is_taken_and_says_so,
    the_original_s_backup_script_works_unchanged,
);

fn a_backup_taken_under_load_restores_every_row_that_was_archived(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(5)?;
    let load = site.postgres.pgbench()?;
    let said = site.run(&["-v", "backup", "-c", "fast"])?;
    load.end(&site.postgres)?;
    site.postgres.archive_all()?;

    let key = site.run(&["list-backups"])?;
    let key = key.trim_end();
    assert!(said.starts_with(&format!("Creating backup {key} in ")), "{said}");
    assert!(said.contains("\nSTART WAL LOCATION: "), "{said}");
    assert!(said.contains(&site.run(&["label", key])?), "{said}");
    let restored = site.restore("restored", key, &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

fn a_backup_with_xlog_restores_without_any_wal_in_the_repository(site: &Site) -> Result<()> {
    site.postgres.archive_nothing()?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "--xlog", "-c", "fast"])?;
    assert_eq!(site.run(&["list-wal"])?, "");
    let stored = site.swiftwal.stored()?;
    assert!(stored.iter().any(|object| object.starts_with("backup_manifest_")), "{stored:?}");
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

fn a_backup_that_is_killed_or_loses_pg_basebackup_or_the_server_is_not_listed(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(20)?;
    fail_in_the_middle(site, |backup| Ok(backup.kill()?))?;
    fail_in_the_middle(site, |backup| {
        let children = descendants(backup.id().try_into()?)?;
        children.iter().find(|child| child.name == "pg_basebackup").map(Process::kill).context("no child")
    })?;
    fail_in_the_middle(site, |_| site.postgres.crash())?;

    site.postgres.start()?;
    site.run(&["backup", "-c", "fast"])?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

fn a_backup_whose_wal_does_not_arrive_fails_within_the_timeout_and_names_the_segment(
    site: &Site,
) -> Result<()> {
    site.postgres.archive_nothing()?;
    let complaint = refused(site, &["backup", "-c", "fast", "--archive-timeout", "2"])?;
    let missing = site.postgres.waiting_for_archive()?;
    assert!(missing.iter().any(|name| complaint.contains(name.as_str())), "{missing:?} in {complaint}");
    Ok(())
}

fn a_cluster_with_a_tablespace_is_refused_before_anything_is_stored(site: &Site) -> Result<()> {
    site.postgres.archive_nothing()?;
    let elsewhere = site.scratch.directory("elsewhere")?;
    site.postgres.sql(&format!("create tablespace elsewhere location '{}'", elsewhere.display()))?;
    let complaint = refused(site, &["backup", "--method", "pg_basebackup", "-c", "fast"])?;
    assert!(complaint.contains("tablespace") && complaint.contains("elsewhere"), "{complaint}");
    assert!(!site.postgres.log()?.contains("BASE_BACKUP"), "{complaint}");
    assert_eq!(site.swiftwal.stored()?, [""; 0]);
    Ok(())
}

fn without_a_server_backup_names_the_address_it_tried_and_stores_nothing(site: &Site) -> Result<()> {
    site.postgres.archive_nothing()?;
    site.postgres.stop()?;
    // The server may have archived a file before it read the setting.
    let stored = site.swiftwal.stored()?;
    let complaint = refused(site, &["backup", "-c", "fast"])?;
    assert!(complaint.contains(&*site.scratch.path().to_string_lossy()), "{complaint}");
    assert_eq!(site.swiftwal.stored()?, stored);
    Ok(())
}

fn backup_never_asks_for_a_password(site: &Site) -> Result<()> {
    site.postgres.sql("create role keeper login replication password 'hunter2'")?;
    site.postgres.archive_all()?;
    site.postgres.stop()?;
    let rules = "local all postgres trust\nlocal all,replication all scram-sha-256\n";
    fs::write(site.postgres.data().join("pg_hba.conf"), rules)?;
    site.postgres.start()?;
    let complaint = refused(site, &["backup", "-c", "fast", "-U", "keeper"])?;
    assert!(complaint.contains("no password supplied"), "{complaint}");

    // With one in ~/.pgpass it works, which proves that the password was missing.
    let pgpass = site.scratch.path().join("pgpass");
    stdout(site.scratch.command("sh").args([
        "-euc",
        "umask 077; echo '*:*:*:keeper:hunter2' > \"$0\"",
        &pgpass.to_string_lossy(),
    ]))?;
    stdout(site.command(&["backup", "-c", "fast", "-U", "keeper"]).env("PGPASSFILE", &pgpass))?;
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 1);
    Ok(())
}

fn backup_prints_its_key_and_with_v_the_label(site: &Site) -> Result<()> {
    let place = site.swiftwal.place();
    for verbose in [false, true] {
        let flags: &[&str] = if verbose { &["-v"] } else { &[] };
        let said = site.run(&[flags, &["backup", "-c", "fast"]].concat())?;
        let listed = site.run(&["list-backups"])?;
        let key = listed.lines().last().context("a backup is listed")?;
        let label = if verbose { site.run(&["label", key])? } else { String::new() };
        let start = format!("Creating backup {key} in {place}\n{label}Backup {key} is complete: ");
        assert!(said.starts_with(&start) && said.lines().count() == start.lines().count(), "{said}");
    }
    Ok(())
}

fn a_backup_whose_report_cannot_be_written_is_taken_and_says_so(site: &Site) -> Result<()> {
    let full = fs::File::options().write(true).open("/dev/full")?;
    let mut command = site.command(&["--json", "backup", "--xlog", "-c", "fast"]);
    let ended = command.stdout(full).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    let key = site.run(&["list-backups"])?;
    let told = format!("swiftwal: backup {} was taken; its report couldn't be written\n", key.trim_end());
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert!(String::from_utf8(ended.stderr)?.starts_with(&told));
    Ok(())
}

/// The script that the documentation of SwiftWAL 0.2.2 recommended for cron.
const BACKUP_SCRIPT: &str = "\
set -e
swiftwal backup
while ls \"$PGDATA\"/pg_wal/archive_status/*.ready > /dev/null 2>&1; do
    sleep 1
done
swiftwal cleanup --keep-backups=1
";

fn the_original_s_backup_script_works_unchanged(site: &Site) -> Result<()> {
    // The script requests a spread checkpoint, which takes as long as the setting says.
    site.postgres.configure(&["checkpoint_completion_target = 0"])?;
    site.postgres.reload()?;
    site.postgres.pgbench_init(1)?;
    site.postgres.archive_all()?;
    let script = site.scratch.path().join("backup.sh");
    fs::write(&script, BACKUP_SCRIPT)?;
    let first_wal = site.run(&["list-wal"])?.lines().next().map(str::to_owned);
    let mut kept = String::new();
    for _ in 0..2 {
        let mut shell = site.postgres.client("sh");
        shell.args(["-euc", "PATH=$PWD:$PATH; . \"$0\"", &script.to_string_lossy()]);
        shell.env("PGDATA", site.postgres.data());
        stdout(shell.envs([site.swiftwal.variable()]))?;
        let listed = site.run(&["list-backups"])?;
        assert!(listed.lines().count() == 1 && listed != kept, "{listed} after {kept}");
        kept = listed;
    }
    assert_ne!(site.run(&["list-wal"])?.lines().next().map(str::to_owned), first_wal);
    site.postgres.archive_all()?;
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

/// Checks that list-backups fails with a message if nothing is stored, and prints nothing otherwise.
fn assert_nothing_listed(site: &Site) -> Result<()> {
    let listed = String::from_utf8(output(&mut site.command(&["list-backups"]))?.stdout)?;
    assert_eq!(listed, "");
    Ok(())
}

/// Returns the messages of a failed command, after checking that no backup is listed.
fn refused(site: &Site, arguments: &[&str]) -> Result<String> {
    let output = output(&mut site.command(arguments))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{complaint}");
    assert_nothing_listed(site)?;
    Ok(complaint)
}

/// Starts a backup, does `harm` while the data is sent, and checks that the backup fails and isn't listed.
fn fail_in_the_middle(site: &Site, harm: impl FnOnce(&mut Child) -> Result<()>) -> Result<()> {
    let streaming =
        || site.postgres.sql("select count(*) from pg_stat_progress_basebackup where backup_streamed > 0");
    until("the server has given up an earlier backup", || Ok(streaming()? == "0"))?;
    let mut command = site.command(&["backup", "--method", "pg_basebackup", "-c", "fast"]);
    let mut backup = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    until("the backup streams", || {
        ensure!(backup.try_wait()?.is_none(), "the backup ended before it could be disturbed");
        Ok(streaming()? == "1")
    })?;
    harm(&mut backup)?;
    assert!(!backup.wait()?.success());
    assert_nothing_listed(site)?;
    Ok(())
}
