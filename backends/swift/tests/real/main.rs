//! Tests on a real Swift.
//!
//! Where the servers are comes from the environment: each setting of the account, with `SWIFT_TEST_` before its
//! name. Each test has containers of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod account;
mod contract;
mod large;
