//! The README's tour, on Swift as written and on a directory as described. A test of xtask runs its services.

use anyhow::{Context, Result};

use crate::{
    configuration,
    page::{blocks, commands},
    tour::Tour,
};

const PAGE: &str = include_str!("../../../../README.md");
/// The commands that CI runs.
const CI: &str = include_str!("../../../../.ci/run");

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_readme_s_tour_works_on_swift() -> Result<()> {
    Tour::on_swift(PAGE, configuration(PAGE)?)?.run(&["data"])
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_readme_s_tour_works_on_a_directory() -> Result<()> {
    let configuration = blocks(PAGE, "toml").nth(1).context("no configuration file for a directory")?;
    Tour::on_a_directory(&PAGE.replace(" -C pgprod ", " "), configuration)?.run(&["data"])
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

#[test]
fn the_readme_names_the_oldest_rust_that_builds_the_program() {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    assert_eq!(PAGE.matches(&format!("Rust {oldest} or later")).count(), 2, "Rust {oldest}");
}
