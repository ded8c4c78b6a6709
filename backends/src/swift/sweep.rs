use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{Result, path::Path};
use object_store_swift::Swift;
use swiftwal_core::Sweep;

/// Finds the segments that no manifest below `prefix` names.
#[derive(Debug)]
pub(super) struct SwiftSweep {
    swift: Swift,
    prefix: Path,
}

impl SwiftSweep {
    pub(super) fn new(swift: Swift, prefix: Path) -> Self {
        Self { swift, prefix }
    }
}

#[async_trait]
impl Sweep for SwiftSweep {
    async fn leftovers(&self, before: Timestamp) -> Result<Vec<String>> {
        let mut uploads = self.swift.leftovers(before.into()).await?;
        uploads.retain(|upload| Path::from(upload.as_str()).prefix_matches(&self.prefix));
        Ok(uploads)
    }

    async fn remove(&self, leftovers: &[String]) -> Result<()> {
        self.swift.remove_leftovers(leftovers).await
    }
}
