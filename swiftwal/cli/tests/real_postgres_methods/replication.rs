//! What only `--method replication` does.

use std::fs;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};
use xtask::{output, stdout, until};

use super::{backup, damage, enable_checksums, refused, site};

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
    let complaint = refused(site, &backup("replication", &["--archive-timeout", "2"]))?;
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
    let complaint = refused(site, &backup("replication", &[]))?;
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
    let complaint = refused(site, &backup("replication", &["-U", "keeper"]))?;
    assert!(complaint.contains("no password supplied") && complaint.contains("~/.pgpass"), "{complaint}");

    // The home directory of the command is the scratch directory.
    let pgpass = site.scratch.path().join(".pgpass");
    let script = "umask 077; echo '*:*:replication:keeper:hunter2' > \"$0\"";
    stdout(site.scratch.command("sh").args(["-euc", script]).arg(&pgpass))?;
    site.run(&backup("replication", &["-U", "keeper"]))?;
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
    let output = output(&mut site.command(&backup("replication", &["--xlog"])))?;
    let said = String::from_utf8(output.stderr)?;
    assert!(output.status.success() && said.contains("no room for two replication connections"), "{said}");
    site.run(&backup("replication", &[]))?;
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_with_damaged_pages_is_kept_with_a_mark_and_ends_with_3() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(1)?;
    let file = site.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?;
    site.postgres.stop()?;
    enable_checksums(site)?;
    damage(site, &file, &[1])?;
    site.postgres.start()?;
    let output = output(&mut site.command(&backup("replication", &["--json"])))?;
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
    let output = output(site.command(&backup("replication", &[])).env("PGGSSENCMODE", "require"))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert!(!output.status.success(), "{complaint}");
    assert!(
        complaint.contains("gssencmode=require") && complaint.contains("--method pg_basebackup"),
        "{complaint}"
    );
    Ok(())
}
