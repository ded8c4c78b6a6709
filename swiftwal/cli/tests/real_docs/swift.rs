//! docs/swift.md: the rights that it calls sufficient are sufficient.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::{Container, Site, output, stdout, swift_test_settings};

use crate::{PROGRAM, page::commands};

const PAGE: &str = include_str!("../../../../docs/swift.md");
const MAKE_READER: &str = include_str!("reader_credential.py");

#[test]
fn the_page_names_each_setting_of_swift() {
    let registry = swiftwal_backends::registry();
    let is_part = |char: char| char == '_' || char.is_ascii_uppercase();
    let words: Vec<_> = PAGE.split(|char| !is_part(char)).collect();
    let missing = registry.settings_of("swift").iter().filter(|name| !words.contains(*name));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn a_credential_without_any_right_in_swift_is_enough_with_the_acls_of_the_page() -> Result<()> {
    let site = Site::start_on_swift(Path::new(PROGRAM), swift_test_settings()?)?;
    let container = site.swiftwal.place().container().context("a site on Swift has a container")?;
    let credential = reader(container)?;
    let field = |name: &str| credential[name].as_str().with_context(|| format!("no {name}: {credential}"));
    let (id, secret) = (field("id")?, field("secret")?);
    let (user, project) = (field("user_id")?, field("project_id")?);
    let with_credential = |arguments: &[&str]| {
        let mut command = site.command(&[&["--compression", "none"], arguments].concat());
        let credential = [("OS_APPLICATION_CREDENTIAL_ID", id), ("OS_APPLICATION_CREDENTIAL_SECRET", secret)];
        command.envs(credential);
        command
    };
    let refused = output(&mut with_credential(&["list-wal"]))?;
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("403 Forbidden"), "{refused:?}");

    for command in commands(&PAGE.replace("pgprod", container.name())) {
        stdout(container.shell(command).envs([("USER_ID", user), ("PROJECT_ID", project)]))?;
    }
    let run = |arguments: &[&str]| stdout(&mut with_credential(arguments));
    run(&["backup", "--xlog", "-c", "fast"])?;
    run(&["backup", "--xlog", "-c", "fast"])?;
    run(&["prune", "--keep-backups", "1"])?;
    ensure!(run(&["list-backups"])?.lines().count() == 1);
    ensure!(container.segments()?.is_some_and(|segments| !segments.is_empty()), "no large object was stored");
    site.scratch.directory("restore")?;
    run(&["restore", "latest", "restore/data"])?;
    Ok(())
}

/// Creates an application credential with only the role `reader`, as Keystone's API does.
fn reader(container: &Container) -> Result<Value> {
    let made = stdout(container.shell("python -c \"$SCRIPT\"").env("SCRIPT", MAKE_READER))?;
    serde_json::from_str(&made).context("what Keystone answered")
}
