//! The README's tour, on Swift as it stands there and on a directory as it says. Its services are a test of xtask.

use anyhow::{Context, Result};
use xtask::swift_test_setting;

use crate::{
    page::{blocks, commands},
    run_page,
};

const PAGE: &str = include_str!("../../../../README.md");
/// What CI itself runs.
const CI: &str = include_str!("../../../../.ci/run");

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_readme_s_tour_works_on_swift() -> Result<()> {
    let shown = blocks(PAGE, "toml").next().context("no configuration file for Swift")?;
    let lines: Result<Vec<_>> = shown.lines().map(of_the_test_servers).collect();
    let container = format!("readme-{}", std::process::id());
    run_page(&PAGE.replace(" pgprod ", &format!(" {container} ")), &lines?.join("\n"), &["data"])
}

/// A line of the configuration file, with the test servers' value instead of the example's.
fn of_the_test_servers(line: &str) -> Result<String> {
    let Some((name, _)) = line.split_once(" = ") else { return Ok(line.to_owned()) };
    Ok(format!("{name} = {:?}", swift_test_setting(name)?))
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_readme_s_tour_works_on_a_directory() -> Result<()> {
    let configuration = blocks(PAGE, "toml").nth(1).context("no configuration file for a directory")?;
    run_page(&PAGE.replace(" -C pgprod ", " "), configuration, &["data"])
}

#[test]
fn the_readme_s_first_two_commands_are_what_ci_runs() {
    let first = blocks(PAGE, "sh").next().unwrap();
    assert_eq!(commands(PAGE).zip(first.lines()).count(), 2);
    for command in first.lines() {
        let command = command.split('#').next().unwrap_or_default().trim();
        assert!(CI.lines().any(|line| line == command), "{command} is not in .ci/run");
    }
}
