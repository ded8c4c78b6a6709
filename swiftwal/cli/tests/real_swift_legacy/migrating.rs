//! Runs docs/migrating.md on a container as SwiftWAL 0.2.2 left it.

use anyhow::{Context, Result, ensure};
use xtask::{Postgres, stdout};

use crate::{
    original::{KEYS, Original, UPLOAD},
    page::{blocks, commands},
};

const PAGE: &str = include_str!("../../../../docs/migrating.md");

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_commands_of_the_migrating_page_work() -> Result<()> {
    let original = Original::new()?;
    original.scratch.directory("restore")?;
    let page = placed(&original)?;
    let settings: Vec<_> = blocks(&page, "ini").flat_map(str::lines).collect();
    original.postgres.configure(&settings)?;
    original.postgres.reload()?;
    for command in commands(&page) {
        if command.contains("X-Object-Manifest") {
            lose_the_manifest(&original)?;
        }
        run(&original, command).with_context(|| command.to_owned())?;
    }

    let left = original.run(&["list-backups"])?;
    ensure!(left.lines().count() == 2 && left.starts_with(KEYS[2]), "{left}");
    for name in ["data", "again"] {
        let restored = Postgres::open(&original.scratch, &original.scratch.path().join("restore").join(name));
        if name == "again" {
            original.run(&["restore", KEYS[2], &restored.data().to_string_lossy()])?;
        }
        restored.configure(&["archive_mode = off"])?;
        restored.start()?;
        restored.wait_for_promotion()?;
        ensure!(restored.rows()? == original.rows, "{name} has other rows");
        restored.stop()?;
    }
    Ok(())
}

/// Deletes the newest old backup with python-swiftclient, but not its segments, as a user might who doesn't know of
/// them.
fn lose_the_manifest(original: &Original) -> Result<()> {
    let (container, object) = (original.container()?, format!("pg_basebackup_{}.tgz", KEYS[2]));
    let delete = "eval \"$(swift auth)\"; curl -sSf -X DELETE -H \"X-Auth-Token: $OS_AUTH_TOKEN\"";
    let delete = format!("{delete} \"$OS_STORAGE_URL/{}/{object}\"", container.name());
    stdout(&mut container.shell(&delete))?;
    ensure!(!original.run(&["list-backups"])?.contains(KEYS[2]));
    Ok(())
}

/// Returns the page with its directories and its configuration in the scratch directory, and this container.
fn placed(original: &Original) -> Result<String> {
    let scratch = original.scratch.path().display();
    let container = original.container()?;
    let conf = blocks(PAGE, "conf").next().context("the page has a configuration file")?;
    let value = |name: &str| {
        let name = if name == "OS_TENANT_NAME" { "OS_PROJECT_NAME" } else { name };
        let found = container.settings().iter().find(|(known, _)| known == name);
        if name == "CONTAINER" { Some(container.name()) } else { found.map(|(_, value)| value.as_str()) }
    };
    let lines = conf.lines().map(|line| {
        let (name, _) = line.split_once('=').context("a line is KEY=VALUE")?;
        Ok(format!("{name}='{}'\n", value(name).with_context(|| name.to_owned())?))
    });
    let file = original.scratch.secret_file("migrated.conf", &lines.collect::<Result<String>>()?)?;
    Ok(PAGE
        .replace("/etc/swiftwal.conf", &file.display().to_string())
        .replace(" /restore/", &format!(" {scratch}/restore/"))
        .replace("= 'swiftwal ", &format!("= '{scratch}/swiftwal "))
        .replace("pgprod", container.name()))
}

fn run(original: &Original, command: &str) -> Result<String> {
    if command.starts_with("swift ") {
        return stdout(original.container()?.shell(command).env("ID", UPLOAD));
    }
    let mut shell = original.postgres.client("sh");
    shell.args(["-euc", &format!("PATH={}:$PATH; {command}", original.scratch.path().display())]);
    stdout(&mut shell)
}
