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
    bulk::{Report, Target, at_once},
    client::Request,
    store::{Store, rejected},
};

/// Objects whose shapes are asked for, and that are then deleted, together.
const BATCH: usize = 1000;

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

    async fn delete_batch(&self, batch: Vec<Path>) -> Vec<Result<Path>> {
        let targets: Vec<_> =
            batch.iter().map(|location| Target::new(&self.container, location.as_ref())).collect();
        let shapes = targets.iter().map(|target| self.shape(target).boxed());
        let shapes: Vec<_> = at_once(shapes).collect().await;
        let is_plain = |shape: &Result<Option<Shape>>| matches!(shape, Ok(Some(Shape::Plain)));
        let plain = targets.iter().zip(&shapes).filter(|(_, shape)| is_plain(shape));
        let plain: Vec<_> = plain.map(|(target, _)| target.clone()).collect();
        let mut plain = self.delete_all(&plain).await.into_iter();
        let mut results = Vec::with_capacity(batch.len());
        for ((location, target), shape) in batch.into_iter().zip(&targets).zip(shapes) {
            let result = match shape {
                Ok(Some(Shape::Plain)) => plain.next().unwrap_or(Ok(())),
                Ok(Some(shape)) => self.delete_large(target, &shape).await,
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            results.push(result.map(|()| location));
        }
        results
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
    async fn delete_large(&self, object: &Target, shape: &Shape) -> Result<()> {
        if let Shape::Dynamic { container, prefix } = shape {
            let segments = self.dynamic_segments(object, container, prefix).await?;
            let targets: Vec<_> =
                segments.into_iter().map(|segment| Target::new(container, segment.name)).collect();
            self.delete_all(&targets).await.into_iter().collect::<Result<()>>()?;
            return self.delete_all(std::slice::from_ref(object)).await.into_iter().collect();
        }
        let request = Request::object(Method::DELETE, &object.container, &object.name)
            .query("multipart-manifest", "delete")
            .header(header::ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.client.send(request).await?;
        match response.status {
            StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => return Ok(()),
            StatusCode::OK => {}
            _ => return Err(rejected(response).await.into()),
        }
        let target = response.request.target.clone();
        let body = response.bytes(REPORT_LIMIT).await?;
        let Some(report) = Report::parse(&body) else {
            let reason = "the report of its deletion isn't one".to_owned();
            return Err(StoreError::Protocol { target, reason }.into());
        };
        report.complaint().map_or(Ok(()), |reason| Err(StoreError::Large { target, reason }.into()))
    }
}
