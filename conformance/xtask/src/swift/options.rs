use std::time::Duration;

/// What kind of Swift is wanted. The default is the smallest: one node, no Keystone.
#[derive(Debug, Clone)]
pub struct SwiftOptions {
    /// How many nodes, each with a disk and its object, container and account server.
    pub nodes: usize,
    /// How many copies of everything, at most one a node.
    pub replicas: usize,
    /// Whether Keystone runs beside it. Version 1 authentication works either way.
    pub keystone: bool,
    /// How long a token is good, in whole seconds, at least one.
    pub token_life: Duration,
    /// How long after a write to an object of a container the next one is taken; an earlier one is answered 498.
    pub seconds_between_writes: Option<u32>,
    /// How many segments the manifest of a large object may name. Lowered, few segments make an object whose
    /// manifest names other manifests.
    pub manifest_segments: u32,
    /// How long a plain object may be. 64 MiB instead of Swift's 5 GiB, so that tests meet the end of one.
    pub max_file_bytes: u64,
    /// How many names one listing has at most.
    pub listing_names: u32,
    /// Whether many objects can be deleted by one request.
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

    /// One node that allows less than most clusters do: short manifests, short listings, no bulk deletion, and no object
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

    /// Three nodes, and a copy on each.
    #[must_use]
    pub fn three_replicas() -> Self {
        Self { nodes: 3, replicas: 3, ..Self::default() }
    }
}
