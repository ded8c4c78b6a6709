//! The promises of the crate: it reads what the standard tools write, they read what it writes, and truncated or
//! damaged data is never accepted as complete.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod golden;
mod streams;
mod tools;
