//! Every command in the README and in docs/ works as it stands there.
//!
//! Of each page, the `toml` block becomes the configuration file, the `ini` block goes into postgresql.conf, and
//! each line of the `sh` blocks is run, in order; the directories it names lie in a scratch directory. On Swift,
//! the container is the test's own, and so are the values of the settings.

mod by_hand;
mod page;
mod tour;

use anyhow::Result;

use self::{
    page::{commands, is_for_ci},
    tour::Tour,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");
const README: &str = include_str!("../../../../README.md");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");
/// What CI itself runs.
const CI: &str = include_str!("../../../../.ci/run");

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_readme_s_tour_works() -> Result<()> {
    Tour::on_a_directory(README)?.run(&["data"])
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_readme_s_tour_works_on_swift() -> Result<()> {
    Tour::on_swift(README)?.run(&["data"])
}

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_commands_of_the_operations_page_work() -> Result<()> {
    Tour::on_a_directory(OPERATIONS)?.run(&["data", "to-a-time", "standby"])
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_commands_of_the_operations_page_work_on_swift() -> Result<()> {
    Tour::on_swift(OPERATIONS)?.run(&["data", "to-a-time", "standby"])
}

#[test]
fn the_readme_s_two_commands_are_what_ci_runs() {
    let commands: Vec<_> = commands(README).filter(|line| is_for_ci(line)).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let command = command.split('#').next().unwrap_or_default().trim();
        assert!(CI.lines().any(|line| line == command), "{command} is not in .ci/run");
    }
}
