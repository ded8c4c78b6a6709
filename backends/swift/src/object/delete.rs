use std::sync::Arc;

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream, TryReadyChunksError},
};
use http::{Method, StatusCode};
use object_store::{Result, path::Path};

use super::Shape;
use crate::{
    StoreError,
    bulk::{Outage, Target, at_once},
    client::{Request, rejected},
    store::Store,
};

/// Objects that are deleted together: as many as Swift usually takes in one request.
const BATCH: usize = 10_000;

impl Store {
    /// Deletes objects as they come in, batch by batch, and says of each, in their order, how it went.
    pub(crate) fn delete_stream(
        self: &Arc<Self>,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let store = Arc::clone(self);
        locations
            .try_ready_chunks(BATCH)
            .then(move |batch| {
                let store = Arc::clone(&store);
                async move {
                    let (batch, failure) = match batch {
                        Ok(batch) => (batch, None),
                        Err(TryReadyChunksError(before, failure)) => (before, Some(Err(failure))),
                    };
                    let mut results = store.delete_batch(batch).await;
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
        let targets: Vec<_> = batch.iter().map(|location| self.target(location)).collect();
        let shapes = match self.shapes(&targets).await {
            Ok(shapes) => shapes,
            Err(error) => return vec![Err(error)],
        };
        let is_plain = |shape: &Result<Option<Shape>>| matches!(shape, Ok(Some(Shape::Plain)));
        let plain = targets.iter().zip(&shapes).filter(|(_, shape)| is_plain(shape));
        let plain: Vec<_> = plain.map(|(target, _)| target.clone()).collect();
        let mut plain = self.delete_all(&plain).await.into_iter();
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

    /// None: there is no such object.
    pub(crate) async fn shape(&self, object: &Target) -> Result<Option<Shape>> {
        let response = self.send(Request::object(Method::HEAD, &object.container, &object.name)).await?;
        match response.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(Shape::of(&response.headers))),
            _ => Err(rejected(response).await.into()),
        }
    }

    /// Deletes what it consists of, and the object last, when nothing of that is left: what failed or was
    /// interrupted can be finished by deleting once more.
    ///
    /// Swift's own deletion of a static large object takes no more than ten times the segments of a manifest, and
    /// deletes the manifest although a segment stayed.
    pub(crate) async fn delete_large(&self, object: &Target, shape: &Shape) -> Result<()> {
        if let Shape::Dynamic { container, prefix } = shape {
            let segments = self.dynamic_segments(object, container, prefix).await?;
            let targets: Vec<_> =
                segments.into_iter().map(|segment| Target::new(container, segment.name)).collect();
            self.delete_all(&targets).await.into_iter().collect::<Result<()>>()?;
        } else if let Some(manifest) = self.manifest(object).await? {
            for level in self.levels(&manifest).await?.iter().rev() {
                self.delete_all(level).await.into_iter().collect::<Result<()>>()?;
            }
        } else {
            // A listing that lags may have told what it was before.
            match self.shape(object).await? {
                Some(Shape::Plain) => {}
                Some(_) => return Err(StoreError::Changed { target: object.to_string() }.into()),
                None => return Ok(()),
            }
        }
        self.delete_one(object).await
    }
}
