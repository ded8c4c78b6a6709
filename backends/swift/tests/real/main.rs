//! Tests on a real Swift.
//!
//! The environment names the servers: each setting of the account, with the prefix `SWIFT_TEST_`. Each test has its own
//! containers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod account;
mod contract;
mod examples;
mod http;
mod large;
mod signing;
