//! Backups and restores of every PostgreSQL version that swiftwal is tested with.
//!
//! The name of a test contains its version, by which `cargo xtask test` skips what it can't install.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use anyhow::Result;
use serde_json::{Value, json};
use xtask::{Place, Postgres, Site, output, stdout, until};

mod file {
    use super::*;

    xtask::on_versions! {
        env!("CARGO_BIN_EXE_swiftwal");
        postgresql_13, 13: tablespaces_by_local, tablespaces_by_replication, by_pg_basebackup, with_xlog, a_standby_takes_over, a_damaged_page,
            the_last_connection;
        postgresql_14, 14: tablespaces_by_local, tablespaces_by_replication, by_pg_basebackup, with_xlog;
        postgresql_15, 15: tablespaces_by_local, tablespaces_by_replication, in_place_tablespaces, by_pg_basebackup, with_xlog;
        postgresql_16, 16: tablespaces_by_local, tablespaces_by_replication, in_place_tablespaces, by_pg_basebackup, with_xlog;
        postgresql_17, 17: tablespaces_by_local, tablespaces_by_replication, in_place_tablespaces, by_pg_basebackup, with_xlog, the_last_connection;
        postgresql_18, 18: tablespaces_by_local, tablespaces_by_replication, in_place_tablespaces, by_pg_basebackup, with_xlog, a_standby_takes_over, a_damaged_page,
            the_last_connection, a_report;
        postgresql_19, 19: tablespaces_by_local, tablespaces_by_replication, in_place_tablespaces, by_pg_basebackup, with_xlog, a_standby_takes_over, a_damaged_page,
            the_last_connection;
    }
}

xtask::on_versions_on_swift! {
    env!("CARGO_BIN_EXE_swiftwal");
    postgresql_15, 15: tablespaces_by_local, tablespaces_by_replication, by_pg_basebackup;
    postgresql_18, 18: tablespaces_by_local, tablespaces_by_replication, by_pg_basebackup, a_standby_takes_over, a_report;
}

fn tablespaces_by_local(site: &Site) -> Result<()> {
    tablespaces(site, "local")?;
    let manifest = site.scratch.path().join("restored/backup_manifest");
    let manifest = stdout(site.scratch.command("cat").arg(manifest))?;
    assert_eq!(manifest.contains("\"System-Identifier\""), site.postgres.major()? >= 17);
    Ok(())
}

fn tablespaces_by_replication(site: &Site) -> Result<()> {
    tablespaces(site, "replication")
}

fn tablespaces(site: &Site, method: &str) -> Result<()> {
    let (old, new) = (site.scratch.directory("old")?, site.scratch.path().join("new"));
    site.postgres.sql(&format!("create tablespace outside location '{}'", old.display()))?;
    site.postgres.pgbench_init(1)?;
    site.postgres.sql("create table t tablespace outside as select generate_series(1, 100000) x")?;
    site.run(&["backup", "--method", method, "-c", "fast"])?;
    expect_databases(site)?;
    site.postgres.sql("insert into t select generate_series(100001, 200000)")?;
    change(site)?;

    let mapping = format!("{}={}", old.display(), new.display());
    let restored = site.restore("restored", "latest", &["--tablespace-mapping", &mapping])?;
    verify(site, &restored)?;
    expect_rows(site, &restored)?;
    assert_eq!(restored.sql("select count(*), sum(x) from t")?, "200000|20000100000");
    let place = "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'outside'";
    assert_eq!(restored.sql(place)?, new.display().to_string());
    Ok(())
}

fn in_place_tablespaces(site: &Site) -> Result<()> {
    let server = &site.postgres;
    // The restored server needs the setting, too.
    server.allow_in_place_tablespaces()?;
    server.sql("create tablespace inside location ''")?;
    server.sql("create table t tablespace inside as select generate_series(1, 100000) x")?;
    let rows = "select count(*), sum(x) from t";
    for method in ["local", "replication"] {
        site.run(&["backup", "--method", method, "-c", "fast"])?;
        server.sql("insert into t select generate_series(1, 1000)")?;
        server.archive_all()?;
        let options = ["--tablespaces-in-place", "--archive-mode", "off"];
        let restored = site.restore(method, "latest", &options)?;
        verify(site, &restored)?;
        restored.start()?;
        restored.wait_for_promotion()?;
        assert_eq!(restored.sql(rows)?, server.sql(rows)?);

        restored.sql("drop table t")?;
        restored.sql("create table u tablespace inside as select generate_series(1, 1000) x")?;
        restored.stop()?;
        let data = restored.data().to_string_lossy();
        site.run(&["restore", "latest", &data, "--delta", "--discard-wal", "--archive-mode", "off"])?;
        verify(site, &restored)?;
        restored.start()?;
        restored.wait_for_promotion()?;
        assert_eq!(restored.sql(rows)?, server.sql(rows)?);
        assert!(restored.sql("select from u").is_err());
        restored.stop()?;
    }
    let refused = output(&mut site.command(&["backup", "--method", "pg_basebackup", "-c", "fast"]))?;
    let said = String::from_utf8(refused.stderr)?;
    assert!(!refused.status.success() && said.contains("has some in pg_tblspc/"), "{said}");
    Ok(())
}

fn by_pg_basebackup(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.postgres.sql("create database \"é's\"")?;
    site.run(&["backup", "--method", "pg_basebackup", "-c", "fast"])?;
    change(site)?;
    let restored = site.restore("restored", "latest", &[])?;
    verify(site, &restored)?;
    expect_databases(site)?;
    expect_rows(site, &restored)
}

/// Checks that the commit record lists the server's databases.
fn expect_databases(site: &Site) -> Result<()> {
    let listed: serde_json::Value = serde_json::from_str(&site.run(&["--json", "list-backups"])?)?;
    let query = "select json_agg(json_build_object('oid', oid::bigint, 'name', datname) order by oid) from pg_database";
    let expected: serde_json::Value = serde_json::from_str(&site.postgres.sql(query)?)?;
    assert_eq!(listed[0]["record"]["databases"], expected);
    Ok(())
}

fn with_xlog(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.postgres.archive_all()?;
    site.postgres.archive_nothing()?;
    for method in ["local", "replication", "pg_basebackup"] {
        site.run(&["backup", "--method", method, "-c", "fast", "--xlog"])?;
        let restored =
            site.restore(method, "latest", &["--target-immediate", "--target-action", "promote"])?;
        expect_rows(site, &restored)?;
    }
    Ok(())
}

fn a_standby_takes_over(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    site.run(&["backup", "--method", "replication", "-c", "fast"])?;
    let standby = site.restore("standby", "latest", &["--standby"])?;
    standby.start()?;
    change(site)?;
    let rows = site.postgres.rows()?;
    until("the standby has the primary's rows", || Ok(standby.rows()? == rows))?;
    assert_eq!(standby.sql("select pg_is_in_recovery()")?, "t");

    site.postgres.stop()?;
    standby.promote()?;
    standby.sql("delete from pgbench_accounts where aid % 3 = 0")?;
    standby.archive_all()?;
    let restored = site.restore("restored", "latest", &[])?;
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, standby.rows()?);
    Ok(())
}

fn a_damaged_page(site: &Site) -> Result<()> {
    site.postgres.pgbench_init(1)?;
    let file = site.postgres.sql("select pg_relation_filepath('pgbench_accounts')")?;
    site.postgres.archive_all()?;
    site.postgres.stop()?;
    let relation = File::options().write(true).open(site.postgres.data().join(&file))?;
    relation.write_all_at(b"damage", 8192 + 4000)?;
    site.postgres.start()?;
    for method in ["local", "replication"] {
        let ended = output(&mut site.command(&["backup", "--method", method, "-c", "fast"]))?;
        let complaint = String::from_utf8(ended.stderr)?;
        assert_eq!(ended.status.code(), Some(3), "{complaint}");
        assert!(complaint.contains("contains a page that was already damaged"), "{complaint}");
        assert!(complaint.contains(&file), "{complaint}");
    }
    for method in ["local", "replication", "pg_basebackup"] {
        site.run(&["backup", "--method", method, "-c", "fast", "--no-verify-checksums"])?;
    }
    Ok(())
}

/// Each version has its own words for the refusal that swiftwal must recognise.
fn the_last_connection(site: &Site) -> Result<()> {
    site.postgres.configure(&["max_wal_senders = 1"])?;
    site.postgres.stop()?;
    site.postgres.start()?;
    for method in ["replication", "pg_basebackup"] {
        let ended = output(&mut site.command(&["backup", "--method", method, "-c", "fast", "--xlog"]))?;
        let said = String::from_utf8(ended.stderr)?;
        assert!(ended.status.success(), "{said}");
        assert!(said.contains("no room for two replication connections"), "{said}");
    }
    Ok(())
}

/// Changes rows after a backup, and archives the changes.
fn change(site: &Site) -> Result<()> {
    site.postgres.sql("delete from pgbench_accounts where aid % 2 = 0")?;
    site.postgres.archive_all()
}

/// Checks that the restored server starts, ends its recovery, and has the rows of the original.
fn expect_rows(site: &Site, restored: &Postgres) -> Result<()> {
    restored.start()?;
    restored.wait_for_promotion()?;
    assert_eq!(restored.rows()?, site.postgres.rows()?);
    Ok(())
}

/// Compares the restored files with PostgreSQL's manifest, which is among them.
fn verify(site: &Site, restored: &Postgres) -> Result<()> {
    // A backup by local has no links to the tablespaces: the server makes them from the map, which names the new places.
    let link = "cd \"$0\"; test ! -s tablespace_map || while read -r oid place; do \
                ln -s \"$place\" \"pg_tblspc/$oid\"; done < tablespace_map";
    stdout(site.scratch.command("sh").args(["-euc", link]).arg(restored.data()))?;
    let mut verify = site.scratch.command("pg_verifybackup");
    stdout(verify.args(["--no-parse-wal", "--ignore=tablespace_map"]).arg(restored.data())).map(drop)
}

/// info shows a chain, a hole, a promotion, and what waits to be archived.
fn a_report(site: &Site) -> Result<()> {
    let server = &site.postgres;
    server.configure(&["summarize_wal = on"])?;
    server.reload()?;
    server.pgbench_init(1)?;
    site.run(&["backup", "-c", "fast"])?;
    site.run(&["backup", "-c", "fast", "--incremental"])?;
    server.archive_all()?;
    server.sql("create table lost as select generate_series(1, 1000)")?;
    let missing = server.sql("select pg_walfile_name(pg_current_wal_lsn())")?;
    server.archive_all()?;
    server.sql("create table later as select generate_series(1, 1000)")?;
    server.archive_all()?;
    match site.swiftwal.place() {
        Place::Directory(directory) => fs::remove_file(directory.join(format!("wal_{missing}.zst")))?,
        Place::Container(container) => {
            let object = format!("wal_{missing}.zst");
            stdout(&mut container.client(&["delete", container.name(), &object]))?;
        }
    }
    site.run(&["backup", "-c", "fast"])?;
    server.archive_all()?;
    server.stop()?;
    let promoted = site.restore("promoted", "latest", &[])?;
    promoted.start()?;
    promoted.wait_for_promotion()?;
    promoted.archive_all()?;
    promoted.archive_nothing()?;
    until("a file waits", || {
        promoted.sql("select txid_current(), pg_switch_wal()")?;
        Ok(promoted.sql("select failed_count > 0 from pg_stat_archiver")? == "t")
    })?;

    let data = promoted.data().display().to_string();
    let report: Value = serde_json::from_str(&site.run(&["info", "--json", "--pgdata", &data])?)?;
    let [first, second] = &report["timelines"].as_array().cloned().unwrap_or_default()[..] else {
        anyhow::bail!("{report}")
    };
    assert_eq!(
        (&first["holes"][0]["first_wal"], &first["holes"][0]["last_wal"]),
        (&json!(missing), &json!(missing))
    );
    assert_eq!((first["holes"].as_array().map(Vec::len), &second["holes"]), (Some(1), &json!([])));
    assert_eq!((&report["timeline"], &second["parent"]), (&json!(2), &json!(1)));
    let keys: Vec<_> = (0..3).map(|place| report["backups"][place]["key"].clone()).collect();
    assert_eq!(report["backups"][1]["chain"], json!([keys[0], keys[1]]));
    let windows = &report["recovery_windows"];
    assert_eq!((&windows[0]["from_backup"], &windows[1]["from_backup"]), (&keys[0], &keys[2]), "{report}");
    assert_eq!(
        (&windows[1]["to_wal"], windows.as_array().map(Vec::len)),
        (&second["last_wal"], Some(2)),
        "{report}"
    );
    assert!(report["ready"]["files"].as_u64() >= Some(1), "{report}");
    let text = site.run(&["info"])?;
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    Ok(())
}
