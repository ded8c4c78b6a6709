//! Tests of the requirements on a backend, and of all backup, WAL and prune semantics, to run against any backend.
//!
//! The suite is a list of scenarios, each of them a fact: `archive::the_identical_file_again_is_fine`. Each scenario
//! gets its own repository, opened through the backend's own registry, and a [`SyntheticCluster`] that makes WAL and
//! base backups without a PostgreSQL. Many of them put a faulty storage in between and interrupt a command at every
//! single call. The suite includes object_store's own integration tests.
//!
//! # For the author of a backend
//! A [`Harness`] says how the backend is opened, and [`conformance_suite!`] makes each scenario a test of its own. In a
//! test file of the backend's crate, with nothing else in it:
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
//! `cargo test` then names every fact that holds and every one that doesn't. [`scenarios`] and [`run`] do the same
//! without a macro. `examples/third_party.rs` is a backend from its first line to its last.

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

/// What a scenario comes to.
pub type Outcome = anyhow::Result<()>;
