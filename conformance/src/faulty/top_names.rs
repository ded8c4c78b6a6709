//! The names at the top of a storage, with injected faults.

use async_trait::async_trait;
use object_store::Result;
use swiftwal_core::TopNames;

use super::effect::injected;

/// The names at the top of a storage whose listings fail.
#[derive(Debug)]
pub(super) struct UnlistedTopNames;

#[async_trait]
impl TopNames for UnlistedTopNames {
    async fn any(&self, _: for<'a> fn(&'a str) -> bool) -> Result<bool> {
        Err(injected())
    }
}
