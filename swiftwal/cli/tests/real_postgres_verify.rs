//! `verify` of backups and WAL of real servers, in a directory and on Swift.
//!
//! The name of a test contains its version, by which `cargo xtask test` skips what it can't install.

use std::{fs, os::unix::fs::FileExt, path::Path, process::Output};

use anyhow::{Context, Result};
use serde_json::Value;
use xtask::{Place, Site, output, stdout};

xtask::on_versions! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: what_a_server_stores_passes_and_damage_is_found;
    postgresql_18, 18: what_a_server_stores_passes_and_damage_is_found, increments_pass,
        pg_verifybackup_accepts_the_stored_tars;
}

xtask::on_versions_on_swift! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: what_a_server_stores_passes_and_damage_is_found;
    postgresql_18, 18: what_a_server_stores_passes_and_damage_is_found;
}

fn what_a_server_stores_passes_and_damage_is_found(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast", "--xlog"])?;
    site.postgres.pgbench_init(2)?;
    site.run(&["backup", "-c", "fast"])?;
    // A new timeline, which begins with pages of the old one.
    site.postgres.archive_all()?;
    let (report, said) = verify(site, &["--all", "--wal"], 0)?;
    let backups = report["backups"].as_array().context("no backups")?;
    assert_eq!(backups.len(), 2, "{report}");
    for backup in backups {
        assert_eq!(backup["verdict"], "passed", "{report}");
        assert!(
            backup["pages"].as_u64() > Some(1000) && backup["wal_segments"].as_u64() > Some(0),
            "{report}"
        );
    }
    assert!(report["wal"]["files"].as_u64() > Some(3), "{report}");
    assert!(said.is_empty(), "{said}");
    let (again, _) = verify(site, &["--all", "--new-only"], 0)?;
    assert_eq!(again["skipped"].as_array().map(Vec::len), Some(2), "{again}");

    // A page that is damaged before the backup.
    let file = site.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?;
    site.postgres.sql("checkpoint")?;
    site.postgres.stop()?;
    let relation = fs::File::options().write(true).open(site.postgres.data().join(&file))?;
    relation.write_all_at(b"damage", 3 * 8192 + 4000)?;
    site.postgres.start()?;
    site.run(&["backup", "-c", "fast", "--no-verify-checksums"])?;
    let (report, said) = verify(site, &["latest"], 3)?;
    assert_eq!(report["backups"][0]["verdict"], "failed", "{report}");
    assert!(
        said.contains(&format!("block 3 of {file}")) && said.contains("a page has a wrong checksum"),
        "{said}"
    );
    assert!(said.contains("of database postgres"), "{said}");
    Ok(())
}

fn increments_pass(site: &Site) -> Result<()> {
    site.postgres.configure(&["summarize_wal = on"])?;
    site.postgres.reload()?;
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    for _ in 0..2 {
        site.postgres.sql("update pgbench_accounts set abalance = abalance + 1 where aid < 100")?;
        site.run(&["backup", "-c", "fast", "--incremental"])?;
    }
    let (report, _) = verify(site, &["latest"], 0)?;
    let backups = report["backups"].as_array().context("no backups")?;
    assert_eq!(backups.len(), 3, "{report}");
    for backup in backups {
        assert!(backup["verdict"] == "passed" && backup["pages"].as_u64() > Some(0), "{report}");
    }
    Ok(())
}

/// A proof by a foreign hand: docs/by-hand.md shows it.
fn pg_verifybackup_accepts_the_stored_tars(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast", "--method", "replication"])?;
    let Place::Directory(directory) = site.swiftwal.place() else { anyhow::bail!("it isn't a directory") };
    let page = include_str!("../../../docs/by-hand.md");
    let commands = page.split("```text\n").find(|text| text.contains("--format=tar")).context("not shown")?;
    let commands = commands.split("```").next().unwrap_or_default();
    let key = site.run(&["list-backups"])?;
    let check = site.scratch.directory("check")?;
    let script = commands
        .replace("/mnt/backups/pgprod", &directory.display().to_string())
        .replace("20260102T0300Z", key.trim_end())
        .replace("/restore/check", &check.display().to_string());
    let run = |script: &str| {
        let mut bash = site.scratch.command(Path::new("bash"));
        output(bash.args(["-euo", "pipefail", "-c", script]))
    };
    let ended = run(&script)?;
    let said = text(&ended);
    assert!(ended.status.success() && said.contains("backup successfully verified"), "{said}");
    // It isn't satisfied by everything.
    let script = script
        .replace("pg_verifybackup", "sed -i 's/\"Size\": 3,/\"Size\": 4,/' backup_manifest; pg_verifybackup");
    let ended = run(&script)?;
    assert!(!ended.status.success(), "{}", text(&ended));
    let restored = stdout(site.scratch.command(Path::new("ls")).arg(&check))?;
    assert!(restored.contains("base.tar"), "{restored}");
    Ok(())
}

/// Runs verify, which must exit with `code`, and returns its report and what it has said.
fn verify(site: &Site, arguments: &[&str], code: i32) -> Result<(Value, String)> {
    let ended = output(&mut site.command(&[&["--json", "verify"], arguments].concat()))?;
    let said = text(&ended);
    assert_eq!(ended.status.code(), Some(code), "{said}");
    Ok((serde_json::from_slice(&ended.stdout)?, String::from_utf8(ended.stderr)?))
}

fn text(ended: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr))
}
