//! The options of a Swift.

use std::time::Duration;

/// The options of a Swift. The default is the smallest one: one node, no Keystone.
#[derive(Debug, Clone)]
pub struct SwiftOptions {
    /// The number of nodes, each with a disk and an object, a container and an account server.
    pub nodes: usize,
    /// The number of replicas, at most one on each node.
    pub replicas: usize,
    /// Whether Keystone runs beside it. Version 1 authentication is always available.
    pub keystone: bool,
    /// The lifetime of a token, in whole seconds, at least one.
    pub token_life: Duration,
    /// How long after a write to an object of a container the next one is accepted; an earlier one is answered 498.
    pub seconds_between_writes: Option<u32>,
    /// The largest number of segments in the manifest of a large object. With a low one, few segments make an object
    /// whose manifest names other manifests.
    pub manifest_segments: u32,
    /// The largest size of a plain object: 64 MiB instead of Swift's 5 GiB, so that tests reach it.
    pub max_file_bytes: u64,
    /// The largest number of names in one listing.
    pub listing_names: u32,
    /// Whether one request can delete many objects.
    pub bulk_delete: bool,
}

impl Default for SwiftOptions {
    fn default() -> Self {
        Self {
            nodes: 1,
            replicas: 1,
            keystone: false,
            token_life: Duration::from_secs(3600),
            seconds_between_writes: None,
            manifest_segments: 1000,
            max_file_bytes: 64 << 20,
            listing_names: 10_000,
            bulk_delete: true,
        }
    }
}

impl SwiftOptions {
    /// One node with Keystone.
    #[must_use]
    pub fn with_keystone() -> Self {
        Self { keystone: true, ..Self::default() }
    }

    /// One node with lower limits than most clusters: short manifests, short listings, no bulk deletion, and no object
    /// as long as a WAL segment.
    #[must_use]
    pub fn narrow() -> Self {
        Self {
            manifest_segments: 3,
            max_file_bytes: 8 << 20,
            listing_names: 100,
            bulk_delete: false,
            ..Self::default()
        }
    }

    /// Three nodes, each with a replica.
    #[must_use]
    pub fn three_replicas() -> Self {
        Self { nodes: 3, replicas: 3, ..Self::default() }
    }
}
