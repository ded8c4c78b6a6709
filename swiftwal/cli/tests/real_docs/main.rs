//! Runs every command in the README and in docs/.
//!
//! A `toml` block of a page becomes the configuration file, the `ini` block goes into postgresql.conf, and each line of
//! the `sh` blocks is run, in order. The directories that they name are in a scratch directory. On Swift, the container
//! and the values of the settings are the test's own.

mod by_hand;
mod monitoring;
mod page;
mod readme;
mod sources;
mod swift;
mod tour;

use anyhow::{Context, Result};

use self::{page::blocks, tour::Tour};

const PROGRAM: &str = env!("CARGO_BIN_EXE_swiftwal");
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");

#[test]
#[ignore = "needs PostgreSQL: run by cargo xtask test"]
fn the_commands_of_the_operations_page_work() -> Result<()> {
    Tour::on_a_directory(OPERATIONS, configuration(OPERATIONS)?)?.run(&["data", "to-a-time", "standby"])
}

#[test]
#[ignore = "needs PostgreSQL and Swift: run by cargo xtask test"]
fn the_commands_of_the_operations_page_work_on_swift() -> Result<()> {
    Tour::on_swift(OPERATIONS, configuration(OPERATIONS)?)?.run(&["data", "to-a-time", "standby"])
}

/// Returns the first configuration file of a page.
fn configuration(page: &str) -> Result<&str> {
    blocks(page, "toml").next().context("the page has no configuration file")
}
