//! The limits of the cluster, for the storage's `LearnLimits`.

use async_trait::async_trait;
use object_store::Result;
use object_store_swift::Swift;
use swiftwal_core::{LearnLimits, Limits};

/// The limits of a cluster: some name all parts of an object in one manifest.
#[derive(Debug)]
pub(super) struct SwiftLimits(pub(super) Swift);

#[async_trait]
impl LearnLimits for SwiftLimits {
    async fn learn(&self, declared: Limits) -> Result<Limits> {
        // A part ends with the frame that fills it.
        let longest = 2 * declared.part_bytes as u64;
        let most = self.0.most_parts(longest).await?.unwrap_or(u64::MAX);
        // The first part is refused by a cluster that can't store it.
        Ok(Limits { max_parts: declared.max_parts.min(most).max(1), ..declared })
    }
}
