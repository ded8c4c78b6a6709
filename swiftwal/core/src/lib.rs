//! The storage registry, the repository (what is stored, under which name) and the flows: backup, restore,
//! archive, fetch, prune.
//!
//! This crate knows no storage plug-in and no command line. A program opens a [`Storage`] by a [`Registry`].

mod clock;
mod storage;

pub use clock::{Clock, SystemClock};
pub use storage::{Backend, OpenError, Options, Registry, Storage, Sweep};
