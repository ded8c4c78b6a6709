use std::sync::Arc;

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream, TryReadyChunksError},
};
use http::{HeaderValue, Method, StatusCode, header};
use object_store::{Result, path::Path};

use super::Shape;
use crate::{
    StoreError,
    bulk::{Outage, Report, Target, at_once},
    client::Request,
    store::{Store, rejected},
};

/// Objects that are deleted together: as many as Swift usually takes in one request.
const BATCH: usize = 10_000;

/// Reports of deletions that name their failures are no longer.
const REPORT_LIMIT: usize = 16 << 20;

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

    /// Deletes the segments, then the manifest: what is interrupted can be finished by deleting once more.
    pub(crate) async fn delete_large(&self, object: &Target, shape: &Shape) -> Result<()> {
        if let Shape::Dynamic { container, prefix } = shape {
            let segments = self.dynamic_segments(object, container, prefix).await?;
            let targets: Vec<_> =
                segments.into_iter().map(|segment| Target::new(container, segment.name)).collect();
            self.delete_all(&targets).await.into_iter().collect::<Result<()>>()?;
            return self.delete_one(object).await;
        }
        let Some(reason) = self.delete_static(object).await? else { return Ok(()) };
        // A listing that lags may have told what it was before.
        if self.shape(object).await? == Some(Shape::Plain) {
            return self.delete_one(object).await;
        }
        Err(StoreError::Large { target: object.to_string(), reason }.into())
    }

    /// Lets Swift delete a static large object; what it complains of, if anything.
    async fn delete_static(&self, object: &Target) -> Result<Option<String>> {
        let request = Request::object(Method::DELETE, &object.container, &object.name)
            .query("multipart-manifest", "delete")
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await?;
        match response.status {
            StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(rejected(response).await.into()),
        }
        let body = response.bytes(REPORT_LIMIT).await?;
        let Some(report) = Report::parse(&body) else {
            let (target, reason) = (object.to_string(), "the report of its deletion isn't one".to_owned());
            return Err(StoreError::Protocol { target, reason }.into());
        };
        Ok(report.complaint())
    }
}
