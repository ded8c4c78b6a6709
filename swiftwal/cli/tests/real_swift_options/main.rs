//! Every way to say which account of Swift is meant and who asks, through the program, on a real Swift and Keystone;
//! and what an administrator is told, and PostgreSQL by the exit code, where it goes wrong.
//!
//! Where the servers are comes from the environment, as `cargo xtask test` sets it: settings with `SWIFT_TEST_` before
//! their names.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

mod failures;
mod site;
mod ways;
