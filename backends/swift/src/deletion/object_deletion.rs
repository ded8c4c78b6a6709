//! Objects that are deleted with their segments.

use std::sync::Arc;

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream, TryReadyChunksError},
};
use object_store::{Result, path::Path};

use super::Deletion;
use crate::{
    concurrency::at_once,
    containers::Containers,
    error::StoreError,
    listing::Listings,
    manifests::Manifests,
    object::{self, Shape},
    outage::Outage,
    target::Target,
};

/// Objects that are deleted together: as many as Swift usually takes in one request.
const BATCH: usize = 10_000;

/// Deletes objects of the store's container with the segments that belong to them.
#[derive(Clone, Debug)]
pub(crate) struct ObjectDeletion {
    containers: Arc<Containers>,
    listings: Listings,
    manifests: Manifests,
    deletion: Deletion,
}

impl ObjectDeletion {
    pub(crate) fn new(
        containers: &Arc<Containers>,
        listings: &Listings,
        manifests: &Manifests,
        deletion: &Deletion,
    ) -> Self {
        Self {
            containers: Arc::clone(containers),
            listings: listings.clone(),
            manifests: manifests.clone(),
            deletion: deletion.clone(),
        }
    }

    /// Deletes objects as they come in, batch by batch, and says of each, in their order, how it went.
    pub(crate) fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .try_ready_chunks(BATCH)
            .then(move |batch| {
                let this = this.clone();
                async move {
                    let (batch, failure) = match batch {
                        Ok(batch) => (batch, None),
                        Err(TryReadyChunksError(before, failure)) => (before, Some(Err(failure))),
                    };
                    let mut results = this.delete_batch(batch).await;
                    results.extend(failure);
                    results
                }
            })
            .flat_map(stream::iter)
            .boxed()
    }

    /// The plain ones together, the large ones each by itself.
    ///
    /// One error alone, where it isn't known what any of them is.
    async fn delete_batch(&self, batch: Vec<Path>) -> Vec<Result<Path>> {
        let targets: Vec<_> = batch.iter().map(|location| self.containers.target(location)).collect();
        let shapes = match self.listings.shapes(&targets).await {
            Ok(shapes) => shapes,
            Err(error) => return vec![Err(error)],
        };
        let is_plain = |shape: &Result<Option<Shape>>| matches!(shape, Ok(Some(Shape::Plain)));
        let plain = targets.iter().zip(&shapes).filter(|(_, shape)| is_plain(shape));
        let plain: Vec<_> = plain.map(|(target, _)| target.clone()).collect();
        let mut plain = self.deletion.delete_all(&plain).await.into_iter();
        let outage = Outage::default();
        let results = batch.into_iter().zip(&targets).zip(shapes).map(|((location, target), shape)| {
            let plain = if is_plain(&shape) { plain.next() } else { None };
            let outage = &outage;
            async move {
                match (shape?, plain) {
                    (_, Some(result)) => result?,
                    (Some(shape), _) => outage.or(target, self.delete_large(target, &shape)).await?,
                    (None, _) => {}
                }
                Ok(location)
            }
            .boxed()
        });
        at_once(results).collect().await
    }

    /// Deletes what it consists of, and the object last, when nothing of that is left: what failed or was
    /// interrupted can be finished by deleting once more.
    ///
    /// Swift's own deletion of a static large object takes no more than ten times the segments of a manifest, and
    /// deletes the manifest although a segment stayed.
    pub(crate) async fn delete_large(&self, object: &Target, shape: &Shape) -> Result<()> {
        if let Shape::Dynamic { container, prefix } = shape {
            let segments = self.manifests.dynamic_segments(object, container, prefix).await?;
            let targets: Vec<_> =
                segments.into_iter().map(|segment| Target::new(container, segment.name)).collect();
            self.deletion.delete_all(&targets).await.into_iter().collect::<Result<()>>()?;
        } else if let Some(manifest) = self.manifests.manifest(object).await? {
            for level in self.manifests.levels(&manifest).await?.iter().rev() {
                self.deletion.delete_all(level).await.into_iter().collect::<Result<()>>()?;
            }
        } else {
            // A listing that lags may have told what it was before.
            match object::shape(&self.containers, object).await? {
                Some(Shape::Plain) => {}
                Some(_) => return Err(StoreError::Changed { target: object.to_string() }.into()),
                None => return Ok(()),
            }
        }
        self.deletion.delete_one(object).await
    }
}
