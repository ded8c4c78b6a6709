//! docs/by-hand.md restores backups of swiftwal and of SwiftWAL 0.2.2 in Swift, without either program.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xtask::{Container, Postgres, Site, stdout, swift_test_settings};

use crate::{PROGRAM, page::commands};

const PAGE: &str = include_str!("../../../../docs/by-hand.md");
/// The key of the page's backup that swiftwal stores.
const KEY: &str = "20260102T0300Z";
/// The key of the page's incremental backup.
const INCREMENTAL_KEY: &str = "20260103T0300Z";
const OLD_KEY: &str = "20130828T1524Z";

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn what_is_restored_by_hand_has_the_same_rows() -> Result<()> {
    let site = Site::start_on_swift(Path::new(PROGRAM), swift_test_settings()?)?;
    let server = &site.postgres;
    let container = site.swiftwal.place().container().context("a site on Swift has a container")?;
    // Enough incompressible data for a large object.
    server
        .sql("create table orders as select id, gen_random_uuid() from generate_series(1, 1500000) as id")?;
    site.run(&["backup", "-c", "fast"])?;
    let key = site.run(&["list-backups"])?;
    back_up_as_0_2_2(&site, container)?;
    server.sql("insert into orders values (0)")?;
    server.archive_all()?;
    let archived = rows(server)?;
    server.sql("insert into orders values (-1)")?;
    let all = rows(server)?;
    server.crash()?;

    site.scratch.directory("restore")?;
    let restored = format!("{}/restore/", site.scratch.path().display());
    let page = PAGE
        .replace("pgprod", container.name())
        .replace(KEY, key.trim_end())
        .replace("/restore/", &restored)
        .replace("/broken/", &format!("{}/", server.data().display()));
    let mut said = String::new();
    let (before, incremental, behind) = around_incremental(&page)?;
    for command in commands(before).chain(commands(behind)) {
        said += &run(&site, container, command)?;
    }
    ensure!(incremental.contains("pg_combinebackup"), "the page shows it");
    for proof in [".tar.zst: OK", "backup successfully verified", "X-Static-Large-Object", "...seg/"] {
        ensure!(said.contains(proof), "{proof}? {said}");
    }
    starts_with(&site, "data", &all)?;
    starts_with(&site, "old", &archived)
}

mod postgresql_18 {
    /// Incremental backups exist from PostgreSQL 17 on.
    #[test]
    #[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
    fn an_incremental_backup_is_combined_by_hand() -> anyhow::Result<()> {
        super::combine_by_hand(18)
    }
}

fn combine_by_hand(major: u32) -> Result<()> {
    let site = Site::start_version_on_swift(Path::new(PROGRAM), major, swift_test_settings()?)?;
    let server = &site.postgres;
    let container = site.swiftwal.place().container().context("a site on Swift has a container")?;
    server.configure(&["summarize_wal = on"])?;
    server.reload()?;
    server
        .sql("create table orders as select id, gen_random_uuid() from generate_series(1, 100000) as id")?;
    site.run(&["backup", "-c", "fast", "--method", "replication"])?;
    server.sql("update orders set id = -id where id % 1000 = 0")?;
    site.run(&["backup", "-c", "fast", "--incremental"])?;
    server.sql("insert into orders values (0)")?;
    server.archive_all()?;
    let listed = site.run(&["list-backups"])?;
    let keys: Vec<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(keys.len() == 2, "{listed}");

    site.scratch.directory("restore")?;
    let restored = format!("{}/restore/", site.scratch.path().display());
    let page = PAGE
        .replace("pgprod", container.name())
        .replace(KEY, keys[0])
        .replace(INCREMENTAL_KEY, keys[1])
        .replace("/restore/", &restored)
        .replace(&format!("{restored}data"), &format!("{restored}combined"));
    let (_, incremental, _) = around_incremental(&page)?;
    let (_, recovery) = page.split_once("\n## WAL\n").context("the page shows how to get WAL")?;
    let (recovery, _) = recovery.split_once("\n## An incremental backup\n").context("in this order")?;
    let mut said = String::new();
    for command in commands(incremental).chain(commands(recovery)).filter(|line| !line.contains("/broken/")) {
        said += &run(&site, container, command)?;
    }
    for proof in ["\"kind\":\"incremental\"", "\"parent\":", "backup successfully verified"] {
        ensure!(said.contains(proof), "{proof}? {said}");
    }
    starts_with(&site, "combined", &rows(server)?)
}

/// Splits the page into the section about incremental backups, and what is before and behind it.
fn around_incremental(page: &str) -> Result<(&str, &str, &str)> {
    let (before, rest) =
        page.split_once("\n## An incremental backup\n").context("the page has the section")?;
    let (incremental, behind) = rest.split_once("\n## ").context("it isn't the last one")?;
    Ok((before, incremental, behind))
}

/// Runs a command of the page, and returns what it prints.
fn run(site: &Site, container: &Container, command: &str) -> Result<String> {
    let mut shell = if command.starts_with("swift ") {
        container.shell(command)
    } else {
        let mut shell = site.scratch.command("sh");
        shell.args(["-euc", command]);
        shell
    };
    stdout(&mut shell)
}

/// Stores a backup as SwiftWAL 0.2.2 did: a tar compressed with gzip, in parts that a dynamic large object joins.
fn back_up_as_0_2_2(site: &Site, container: &Container) -> Result<()> {
    let mut shell = site.postgres.client("sh");
    shell.args([
        "-euc",
        "pg_basebackup -D - -Ft -X none -c fast | gzip -1 > old.tgz; split -n 3 old.tgz old-",
    ]);
    stdout(&mut shell)?;
    let name = format!("pg_basebackup_{OLD_KEY}.tgz");
    let parts = format!("...seg/{name}/6f1f6e5c-7d55-4c51-8a8f-0d8c1f3f5a10/");
    let container_name = container.name();
    for (part, number) in ["old-aa", "old-ab", "old-ac"].into_iter().zip(1..) {
        let upload = format!("swift upload --object-name {parts}{number} {container_name} {part}");
        stdout(&mut container.shell(&upload))?;
    }
    stdout(&mut container.shell(&format!(
        ": > empty; swift upload --object-name {name} -H 'X-Object-Manifest: {container_name}/{parts}' \
         {container_name} empty"
    )))?;
    Ok(())
}

/// Starts the server in the restored directory `name`, which must recover to these rows.
fn starts_with(site: &Site, name: &str, expected: &str) -> Result<()> {
    let server = Postgres::open(&site.scratch, &site.scratch.path().join("restore").join(name));
    server.start()?;
    server.wait_for_promotion()?;
    ensure!(rows(&server)? == expected, "{name} has other rows:\n{}", server.log()?);
    server.stop()
}

/// The number of rows and their checksum.
fn rows(server: &Postgres) -> Result<String> {
    server.sql("select count(*), sum(hashtextextended(t::text, 0)) from orders t")
}
