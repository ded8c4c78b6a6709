//! Every way to select an account of Swift and to authenticate, through the program, on a real Swift and Keystone; and
//! the messages and exit codes of failures.
//!
//! The environment names the servers, as `cargo xtask test` sets it: settings with the prefix `SWIFT_TEST_`.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

mod failures;
mod site;
mod ways;
