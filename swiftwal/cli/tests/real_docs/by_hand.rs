//! docs/by-hand.md restores backups of swiftwal and of SwiftWAL 0.2.2 in Swift, without either program.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use xtask::{Container, Postgres, Site, stdout, swift_test_settings};

use crate::{PROGRAM, page::commands};

const PAGE: &str = include_str!("../../../../docs/by-hand.md");
/// The key of the page's backup that swiftwal stores.
const KEY: &str = "20260102T0300Z";
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
    for command in commands(&page) {
        let mut shell = if command.starts_with("swift ") {
            container.shell(command)
        } else {
            let mut shell = site.scratch.command("sh");
            shell.args(["-euc", command]);
            shell
        };
        said += &stdout(&mut shell)?;
    }
    for proof in [".tar.zst: OK", "backup successfully verified", "X-Static-Large-Object", "...seg/"] {
        ensure!(said.contains(proof), "{proof}? {said}");
    }
    starts_with(&site, "data", &all)?;
    starts_with(&site, "old", &archived)
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
