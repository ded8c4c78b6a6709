//! The built-in storage plug-ins: OpenStack Swift, file and memory, and S3, GCS and Azure behind the features
//! `s3`, `gcs` and `azure`.
//!
//! A program takes [`registry`] as it is, or adds a backend of its own to it.

#[cfg(feature = "cloud")]
mod cloud;
mod file;
mod memory;
mod swift;

use swiftwal_core::Registry;

#[cfg(feature = "azure")]
pub use self::cloud::Azure;
#[cfg(feature = "gcs")]
pub use self::cloud::Gcs;
#[cfg(feature = "s3")]
pub use self::cloud::S3;
pub use self::{file::LocalFile, memory::Memory, swift::Swift};

/// The registry of every backend that was compiled in.
#[must_use]
pub fn registry() -> Registry {
    let registry = Registry::new().with(Memory).with(LocalFile).with(Swift);
    #[cfg(feature = "s3")]
    let registry = registry.with(S3);
    #[cfg(feature = "gcs")]
    let registry = registry.with(Gcs);
    #[cfg(feature = "azure")]
    let registry = registry.with(Azure);
    registry
}
