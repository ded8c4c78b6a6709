//! The built-in storage plug-ins: memory and file, and S3, GCS and Azure behind features.
//!
//! A program takes [`registry`] as it is, or adds a backend of its own to it.

mod file;
mod memory;

use swiftwal_core::Registry;

pub use self::{file::LocalFile, memory::Memory};

/// The registry of every backend that was compiled in.
#[must_use]
pub fn registry() -> Registry {
    Registry::new().with(Memory).with(LocalFile)
}
