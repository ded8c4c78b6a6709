//! A sweep that injects faults.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{ObjectMeta, Result};
use swiftwal_core::Sweep;

use super::{
    effect::injected,
    faults::{Faults, SWEEP},
};

/// A sweep that records calls and fails as the store does.
#[derive(Debug)]
pub(super) struct FaultySweep {
    inner: Arc<dyn Sweep>,
    faults: Faults,
}

impl FaultySweep {
    pub(super) fn new(inner: Arc<dyn Sweep>, faults: Faults) -> Self {
        Self { inner, faults }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Sweep for FaultySweep {
    async fn leftovers(&self, before: Timestamp, listed: Vec<ObjectMeta>) -> Result<Vec<String>> {
        match self.faults.read(SWEEP).await? {
            Some(_) => Err(injected()),
            None => self.inner.leftovers(before, listed).await,
        }
    }

    fn wants_listed(&self) -> bool {
        self.inner.wants_listed()
    }

    async fn remove(&self, leftovers: &[String]) -> Result<()> {
        let effect = self.faults.write("sweep", leftovers.join(" "));
        effect.begin().await?;
        self.inner.remove(leftovers).await?;
        effect.reply(()).await
    }
}
