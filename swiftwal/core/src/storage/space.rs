//! The free space of a storage.

use std::fmt;

use async_trait::async_trait;

/// The free space of a storage, such as a directory on a disk.
#[async_trait]
pub trait StorageSpace: fmt::Debug + Send + Sync {
    /// Returns how many bytes can still be stored.
    async fn free_bytes(&self) -> object_store::Result<u64>;
}
