//! An upload in parts that injects faults.

use async_trait::async_trait;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart, path::Path};

use super::{dates::Dates, faults::Faults};

/// An upload in parts that records calls and fails as its store does.
#[derive(Debug)]
pub(super) struct FaultyUpload {
    inner: Option<Box<dyn MultipartUpload>>,
    object: Path,
    faults: Faults,
    dates: Dates,
}

impl FaultyUpload {
    pub(super) fn new(inner: Box<dyn MultipartUpload>, object: Path, faults: Faults, dates: Dates) -> Self {
        Self { inner: Some(inner), object, faults, dates }
    }

    fn inner(&mut self) -> Result<&mut Box<dyn MultipartUpload>> {
        let gone = || Error::Generic { store: "faulty", source: "the upload is gone".into() };
        self.inner.as_mut().ok_or_else(gone)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let effect = self.faults.write("put_part", &self.object);
        let part: Option<Result<_>> = effect.performs().then(|| Ok(self.inner()?.put_part(data)));
        Box::pin(async move {
            effect.begin().await?;
            if let Some(part) = part {
                part?.await?;
            }
            effect.reply(()).await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let effect = self.faults.write("complete", &self.object);
        effect.begin().await?;
        let result = self.inner()?.complete().await?;
        self.dates.written(&self.object);
        effect.reply(result).await
    }

    async fn abort(&mut self) -> Result<()> {
        let effect = self.faults.write("abort", &self.object);
        effect.begin().await?;
        self.inner()?.abort().await?;
        effect.reply(()).await
    }
}

/// A killed process runs no destructor, so what the upload has written must remain.
impl Drop for FaultyUpload {
    fn drop(&mut self) {
        if self.faults.leaves_all_open() {
            std::mem::forget(self.inner.take());
        }
    }
}
