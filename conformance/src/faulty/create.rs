//! Creation in parts that injects faults.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{MultipartUpload, Result, path::Path};
use swiftwal_core::CreateInParts;

use super::{dates::Dates, faults::Faults, upload::FaultyUpload};

/// A creation in parts that records calls and fails as the store does.
#[derive(Debug)]
pub(super) struct FaultyCreate {
    inner: Arc<dyn CreateInParts>,
    faults: Faults,
    dates: Dates,
}

impl FaultyCreate {
    pub(super) fn new(inner: Arc<dyn CreateInParts>, faults: Faults, dates: Dates) -> Self {
        Self { inner, faults, dates }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CreateInParts for FaultyCreate {
    async fn create(&self, location: &Path) -> Result<Box<dyn MultipartUpload>> {
        let effect = self.faults.write("begin", location);
        self.faults.room()?;
        effect.begin().await?;
        let inner = self.inner.create(location).await?;
        let upload = FaultyUpload::new(inner, location.clone(), self.faults.clone(), self.dates.clone());
        effect.reply(Box::new(upload) as _).await
    }

    async fn takes_parts_of(&self, bytes: usize) -> Result<bool> {
        self.inner.takes_parts_of(bytes).await
    }

    async fn make_durable(&self, location: &Path) -> Result<()> {
        let effect = self.faults.write("make durable", location);
        effect.begin().await?;
        self.inner.make_durable(location).await?;
        effect.reply(()).await
    }
}
