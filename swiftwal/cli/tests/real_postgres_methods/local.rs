//! What only `--method local` does, and what every method does with files that only the server's host has.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use xtask::{output, stdout, until};

use super::{backup, damage, enable_checksums, expect_rows, refused, site};

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn odd_files_are_restored_and_of_unlogged_tables_the_initial_fork_only() -> Result<()> {
    let site = &site()?;
    site.postgres.sql("create unlogged table u as select generate_series(1, 100000) x")?;
    let relation = site.postgres.sql("select pg_relation_filepath('u')")?;
    let make = "cd \"$0\"; mkdir odd; echo x > 'odd/ two  words '; echo y > \"odd/$(printf 'caf\\351')\"; : > odd/empty; \
                truncate -s 9M odd/sparse; echo end >> odd/sparse";
    let shell = |script: &str, directory: &Path| {
        stdout(site.scratch.command("sh").args(["-euc", script]).arg(directory).arg(site.postgres.data()))
    };
    shell(make, site.postgres.data())?;
    for method in ["local", "replication", "pg_basebackup"] {
        site.run(&["backup", "--method", method, "-c", "fast", "--xlog"])?;
        let restored = site.restore(method, "latest", &[])?;
        shell("diff -r \"$0/odd\" \"$1/odd\"", restored.data())?;
        let forks = shell(&format!("cd \"$0\"; ls {relation}*"), restored.data())?;
        assert_eq!(forks.trim(), format!("{relation}_init"), "{method}");
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_rate_is_kept_by_each_method_and_a_connection_string_leads_to_the_server() -> Result<()> {
    let site = &site()?;
    let [(_, host), (_, port)] = &site.postgres.environment()[..2] else { bail!("no address") };
    let conninfo = format!("host={host} port={port} user=postgres application_name='a b'");
    let uri = format!("postgresql:///?host={host}&port={port}&user=postgres");
    for (method, server) in [("local", &conninfo), ("replication", &uri), ("pg_basebackup", &conninfo)] {
        let mut command = site.swiftwal.command(&["--json", "backup", "--method", method, "-c", "fast"]);
        command.args(["--xlog", "--max-rate", "16M", "-d", server]);
        let began = std::time::Instant::now();
        let report: serde_json::Value = serde_json::from_str(&stdout(&mut command)?)?;
        let bytes = report["tar_bytes"].as_u64().context("a size")?;
        // The WAL isn't limited, and the server counts in small steps.
        let least = bytes.saturating_sub(20 << 20) as f64 / f64::from(16 << 20);
        assert!(began.elapsed().as_secs_f64() >= least, "{method}: {:?} for {bytes}", began.elapsed());
    }
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_of_a_standby_restores() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(1)?;
    site.run(&backup("local", &[]))?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.start()?;
    site.postgres.sql("delete from pgbench_accounts where aid % 2 = 0")?;
    site.postgres.archive_all()?;
    let rows = site.postgres.rows()?;
    until("the standby has the primary's rows", || Ok(standby.rows()? == rows))?;
    stdout(site.swiftwal.command(&backup("local", &[])).envs(standby.environment()))?;
    expect_rows(site, "restored")
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_backup_with_damaged_pages_is_kept_with_a_mark_and_ends_with_3() -> Result<()> {
    let site = &site()?;
    site.postgres.pgbench_init(1)?;
    let file = site.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?;
    site.postgres.stop()?;
    enable_checksums(site)?;
    site.postgres.start()?;
    site.run(&backup("local", &[]))?;

    site.postgres.stop()?;
    damage(site, &file, &[1, 700])?;
    site.postgres.start()?;
    let output = output(&mut site.command(&backup("local", &[])))?;
    let complaint = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    for words in [
        "contains 2 pages that were already damaged",
        &format!("checksum verification failed in file \"{file}\", block 1: calculated "),
        &format!("checksum verification failed in file \"{file}\", block 700: calculated "),
    ] {
        assert!(complaint.contains(words), "{words} in {complaint}");
    }
    assert_eq!(site.run(&["list-backups"])?.lines().count(), 2);
    Ok(())
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn a_directory_that_is_not_the_servers_or_not_readable_is_refused() -> Result<()> {
    let site = &site()?;
    // As on another host, where the process isn't.
    let file = site.postgres.data().join("postmaster.pid");
    let content = fs::read_to_string(&file)?;
    let (pid, rest) = content.split_once('\n').context("lines")?;
    // Larger than any process number of Linux.
    fs::write(&file, format!("{}\n{rest}", 1 << 30))?;
    let complaint = refused(site, &backup("local", &[]))?;
    fs::write(&file, format!("{pid}\n{rest}"))?;
    assert!(complaint.contains("the process in its postmaster.pid can't be seen"), "{complaint}");
    assert!(complaint.contains("--method replication"), "{complaint}");

    let unreadable = site.postgres.data().join("unreadable");
    stdout(site.scratch.command("install").args(["-m", "000", "/dev/null"]).arg(&unreadable))?;
    let complaint = refused(site, &backup("local", &[]))?;
    assert!(complaint.contains(&format!("can't read {}", unreadable.display())), "{complaint}");
    assert!(complaint.contains("run this as the user to whom the server's files belong"), "{complaint}");
    Ok(())
}
