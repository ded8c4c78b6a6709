//! Every command in the README and in docs/ works as it stands there.
//!
//! Of each page, the `toml` block becomes the configuration file, the `ini` block goes into postgresql.conf, and
//! each line of the `sh` blocks is run, in order; the directories it names lie in a scratch directory.

mod by_hand;
mod page;

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, ensure};
use xtask::{Installation, Postgres, Scratch, stdout};

use self::page::{blocks, commands};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");
/// What CI itself runs.
const CI: &str = include_str!("../../../../.ci/run");

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_readme_s_tour_works() -> Result<()> {
    run_page(include_str!("../../../../README.md"), &["data"])
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_commands_of_the_operations_page_work() -> Result<()> {
    run_page(include_str!("../../../../docs/operations.md"), &["data", "to-a-time", "standby"])
}

#[test]
fn the_readme_s_two_commands_are_what_ci_runs() {
    let page = include_str!("../../../../README.md");
    let commands: Vec<_> = commands(page).filter(|line| is_for_ci(line)).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let command = command.split('#').next().unwrap_or_default().trim();
        assert!(CI.lines().any(|line| line == command), "{command} is not in .ci/run");
    }
}

/// Runs a page. Each of the `restored` directories must then start and hold the rows of its moment.
fn run_page(page: &str, restored: &[&str]) -> Result<()> {
    let scratch = Scratch::new(Installation::ensure()?)?;
    scratch.program(Path::new(PROGRAM))?;
    scratch.directory("backup")?;
    scratch.directory("restore")?;
    let page = placed(page, scratch.path());
    let config = blocks(&page, "toml").next().context("the page has no configuration file")?;
    fs::write(scratch.path().join("swiftwal.toml"), config)?;
    let settings: Vec<_> = blocks(&page, "ini").flat_map(str::lines).collect();
    let server = Postgres::create(&scratch, "cluster", &settings)?;
    server.start()?;
    server.sql("create table orders as select generate_series(1, 1000) as id")?;

    // The moment that TARGET_TIME names comes after the page's backup, so that it can be reached.
    let mut target_time = String::new();
    for command in commands(&page).filter(|line| !is_for_ci(line)) {
        if command.contains(" restore ") && target_time.is_empty() {
            target_time = server.sql("select clock_timestamp()")?;
            server.sql("delete from orders")?;
            server.archive_all()?;
        }
        let mut shell = server.client("sh");
        shell.args(["-euc", &format!("PATH={}:$PATH; {command}", scratch.path().display())]);
        stdout(shell.env("TARGET_TIME", &target_time)).with_context(|| command.to_owned())?;
    }
    for name in restored {
        check(&scratch, name, page.contains(&format!("restore/{name} --target-time")))?;
    }
    Ok(())
}

fn check(scratch: &Arc<Scratch>, name: &str, goes_to_a_time: bool) -> Result<()> {
    let server = Postgres::open(scratch, &scratch.path().join("restore").join(name));
    server.start()?;
    if name != "standby" {
        server.wait_for_promotion()?;
        let expected = if goes_to_a_time { "1000" } else { "0" };
        ensure!(server.sql("select count(*) from orders")? == expected, "{name} has other rows");
    }
    server.stop()
}

/// The page with its absolute directories in the scratch directory.
fn placed(page: &str, scratch: &Path) -> String {
    let scratch = scratch.display();
    page.replace("/etc/swiftwal.toml", &format!("{scratch}/swiftwal.toml"))
        .replace("file:///backup", &format!("file://{scratch}/backup"))
        .replace(" /restore/", &format!(" {scratch}/restore/"))
        .replace("= 'swiftwal ", &format!("= '{scratch}/swiftwal "))
}

fn is_for_ci(line: &str) -> bool {
    line.starts_with("cargo xtask ")
}
