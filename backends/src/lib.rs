//! The built-in backends: OpenStack Swift, file and memory, and S3, GCS and Azure behind the cargo features
//! `s3`, `gcs` and `azure`.
//!
//! A program uses [`registry`] unchanged, or adds its own backend to it.

#[cfg(feature = "cloud")]
mod cloud;
mod file;
mod memory;
mod swift;

use swiftwal_core::{Absent, Registry};

#[cfg(feature = "azure")]
pub use self::cloud::Azure;
#[cfg(feature = "gcs")]
pub use self::cloud::Gcs;
#[cfg(feature = "s3")]
pub use self::cloud::S3;
pub use self::{file::LocalFile, memory::Memory, swift::Swift};

/// The hint for a URL with the address of Swift or of Keystone in place of the repository's.
const SWIFT_BY_ITS_ADDRESS: &str = "for Swift, the repository is swift://CONTAINER, and the address goes into a setting: \
    that of Keystone into OS_AUTH_URL, that of TempAuth into ST_AUTH";

/// Returns the registry with every backend that was compiled in.
#[must_use]
pub fn registry() -> Registry {
    let registry = Registry::new().with(Memory).with(LocalFile).with(Swift);
    let registry = ["http", "https"].into_iter().fold(registry, |registry, scheme| {
        registry.with_absent(Absent { scheme, settings: &[], hint: SWIFT_BY_ITS_ADDRESS })
    });
    #[cfg(feature = "s3")]
    let registry = registry.with(S3);
    #[cfg(not(feature = "s3"))]
    let registry = registry.with_absent(Absent {
        scheme: "s3",
        settings: &["AWS_"],
        hint: "for s3:// build swiftwal with --features s3",
    });
    #[cfg(feature = "gcs")]
    let registry = registry.with(Gcs);
    #[cfg(not(feature = "gcs"))]
    let registry = registry.with_absent(Absent {
        scheme: "gs",
        settings: &["GOOGLE_"],
        hint: "for gs:// build swiftwal with --features gcs",
    });
    #[cfg(feature = "azure")]
    let registry = registry.with(Azure);
    #[cfg(not(feature = "azure"))]
    let registry = registry.with_absent(Absent {
        scheme: "az",
        settings: &["AZURE_"],
        hint: "for az:// build swiftwal with --features azure",
    });
    registry
}
