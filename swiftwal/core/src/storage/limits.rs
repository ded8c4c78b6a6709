//! The limits of a storage on objects and parts.

use std::fmt;

use async_trait::async_trait;

/// The limits on the size of objects, and the size of the parts in which they are written.
///
/// A tar that is larger than the largest object is stored as several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The size of a part of a large object, which is also read with one request. A few parts are in memory at a time.
    pub part_bytes: usize,
    /// The largest WAL file, before compression, that is kept in memory for one put. A larger one is written in parts,
    /// unless it compresses well.
    pub put_bytes: u64,
    /// The largest number of parts of one object.
    pub max_parts: u64,
    /// The largest size of one object, in bytes.
    pub max_object_bytes: u64,
}

impl Limits {
    /// Large enough for PostgreSQL's usual WAL segment, whatever its content.
    pub const PUT_BYTES: u64 = 16 << 20;

    /// Returns the largest size of an object that is written in parts. No part is smaller than `part_bytes`, except the
    /// last one.
    #[must_use]
    pub fn largest_object(&self) -> u64 {
        self.max_object_bytes.min(self.max_parts.saturating_mul(self.part_bytes as u64))
    }
}

/// Parts of 8 MiB, and no known limits.
impl Default for Limits {
    fn default() -> Self {
        Self {
            part_bytes: 8 << 20,
            put_bytes: Self::PUT_BYTES,
            max_parts: u64::MAX,
            max_object_bytes: u64::MAX,
        }
    }
}

/// Learns limits that only a request can tell, since they differ between clusters.
#[async_trait]
pub trait LearnLimits: fmt::Debug + Send + Sync {
    /// Returns the limits that apply, which are at most the declared ones. The size of a part doesn't change. It is
    /// called often: the request is made once.
    async fn learn(&self, declared: Limits) -> object_store::Result<Limits>;
}
