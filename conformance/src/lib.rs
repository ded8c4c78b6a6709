//! Tests that run against any backend: the requirements on a backend, and the complete behaviour of backup, WAL and
//! prune.
//!
//! The suite is a list of scenarios, each of which is a fact: `archive::the_identical_file_again_is_fine`. Each
//! scenario has its own repository, opened through the backend's registry, and a [`SyntheticCluster`], which supplies
//! WAL and base backups without a PostgreSQL. Many scenarios insert a faulty storage, and interrupt a command at every
//! single call. The suite includes the integration tests of `object_store`.
//!
//! # For the author of a backend
//! A [`Harness`] describes how to open the backend, and [`conformance_suite!`] turns each scenario into a test. Put
//! this into a test file of the backend's crate, with nothing else in it:
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! use swiftwal_backends::Memory;
//! use swiftwal_conformance::{Harness, StoreContract, conformance_suite};
//! use swiftwal_core::Registry;
//!
//! fn harness() -> Harness {
//!     static NEXT: AtomicU32 = AtomicU32::new(0);
//!     let fresh = || format!("memory://scenario-{}", NEXT.fetch_add(1, Ordering::Relaxed));
//!     Harness::new(Registry::new().with(Memory), fresh)
//!         .with_contract(StoreContract { conditional_update: true, conditional_copy: true })
//! }
//!
//! conformance_suite!(harness());
//! # fn main() {}
//! ```
//!
//! `cargo test` then lists every fact that holds and every one that doesn't. [`scenarios`] and [`run`] do the same
//! without a macro. `examples/third_party.rs` is a complete backend.

mod clock;
mod cluster;
mod faulty;
mod harness;
mod random;
mod scenarios;
mod subject;
mod suite;

pub use clock::ManualClock;
pub use cluster::{CrowdedSource, Entry, SourceFault, SyntheticCluster, SyntheticSource, Tree, Version};
pub use harness::{Harness, StoreContract};
pub use suite::{Scenario, run, scenarios};

/// The result of a scenario.
pub type Outcome = anyhow::Result<()>;
