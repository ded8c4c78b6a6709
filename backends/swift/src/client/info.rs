/// The limits of a cluster. What `/info` doesn't say has Swift's default.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Info {
    /// Most bytes of one object that isn't a large one.
    pub(crate) max_file_size: u64,
    /// Most names in one listing.
    pub(crate) container_listing_limit: usize,
    /// None: static large objects aren't offered.
    pub(crate) slo: Option<SloLimits>,
    /// None: bulk deletion isn't offered.
    pub(crate) bulk_delete: Option<BulkDeleteLimits>,
}

/// Limits of static large objects.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SloLimits {
    pub(crate) max_manifest_segments: usize,
    /// Bytes.
    pub(crate) max_manifest_size: usize,
    /// Bytes.
    pub(crate) min_segment_size: u64,
}

/// Limits of bulk deletion.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BulkDeleteLimits {
    pub(crate) max_deletes_per_request: usize,
}
