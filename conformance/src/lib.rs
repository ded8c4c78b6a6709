//! What a backend must do, and the whole backup, WAL and prune semantics, run against any backend.

mod clock;
mod cluster;
mod faulty;
mod harness;
mod random;
mod scenarios;
mod subject;
mod suite;

pub use clock::ManualClock;
pub use cluster::{Entry, SourceFault, SyntheticCluster, SyntheticSource, Tree, Version};
pub use faulty::{Call, Faults, ReadFault, WriteFault};
pub use harness::{Harness, StoreContract};
pub use subject::Subject;
pub use suite::{Scenario, run, scenarios};

/// What a scenario comes to.
pub type Outcome = anyhow::Result<()>;
