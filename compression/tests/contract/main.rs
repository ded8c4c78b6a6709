//! What the crate promises: it reads what the standard tools write, they read what it writes, and nothing
//! that was cut or damaged is taken for whole.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod golden;
mod streams;
mod tools;
