//! The modules of the crates: their layers, and no circles between neighbours.

#![expect(clippy::unwrap_used, reason = "the tests' helpers fail as tests do")]

mod circles;
mod layers;
mod source;
