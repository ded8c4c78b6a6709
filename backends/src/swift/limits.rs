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
        let most = self.0.most_parts().await?.unwrap_or(u64::MAX);
        Ok(Limits { max_parts: declared.max_parts.min(most), ..declared })
    }
}
