//! Creates large objects in a container, for WAL segments that are too large for one put.

use async_trait::async_trait;
use object_store::{MultipartUpload, Result, path::Path};
use object_store_swift::Swift;
use swiftwal_core::CreateInParts;

/// Creates large objects below `prefix`.
#[derive(Debug)]
pub(super) struct SwiftCreate {
    swift: Swift,
    prefix: Path,
}

impl SwiftCreate {
    pub(super) fn new(swift: Swift, prefix: Path) -> Self {
        Self { swift, prefix }
    }
}

#[async_trait]
impl CreateInParts for SwiftCreate {
    async fn create(&self, location: &Path) -> Result<Box<dyn MultipartUpload>> {
        let location = self.prefix.parts().chain(location.parts()).collect();
        Ok(self.swift.create_in_parts(&location))
    }

    async fn takes_parts_of(&self, bytes: usize) -> Result<bool> {
        Ok(bytes as u64 >= self.swift.shortest_part().await?)
    }

    /// Swift flushes each replica before it counts it, and adds missing replicas: what can be read is durable.
    async fn make_durable(&self, _location: &Path) -> Result<()> {
        Ok(())
    }
}
