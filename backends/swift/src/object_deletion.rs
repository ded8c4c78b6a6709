//! Deletes objects together with their segments.

use futures::{
    FutureExt, StreamExt, TryStreamExt,
    stream::{self, BoxStream, TryReadyChunksError},
};
use object_store::{Result, path::Path};

use crate::{
    concurrency::at_once,
    error::StoreError,
    handles::Handles,
    manifests::Manifest,
    object::{self, Shape},
    outage::Outage,
    target::Target,
};

/// How many objects are deleted together: as many as Swift usually accepts in one request.
const BATCH: usize = 10_000;

/// Deletes objects of the store's container together with the segments that belong to them.
#[derive(Clone, Debug)]
pub(crate) struct ObjectDeletion {
    handles: Handles,
}

impl ObjectDeletion {
    pub(crate) fn new(handles: &Handles) -> Self {
        Self { handles: handles.clone() }
    }

    /// Deletes objects as they arrive, in batches, and returns the outcome of each, in order.
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

    /// Deletes plain objects together and each large object separately.
    ///
    /// Returns a single error if it isn't known of any of them how it is stored.
    async fn delete_batch(&self, batch: Vec<Path>) -> Vec<Result<Path>> {
        let targets: Vec<_> = batch.iter().map(|location| self.handles.containers.target(location)).collect();
        let shapes = match self.handles.listings.shapes(&targets).await {
            Ok(shapes) => shapes,
            Err(error) => return vec![Err(error)],
        };
        let is_plain = |shape: &Result<Option<Shape>>| matches!(shape, Ok(Some(Shape::Plain)));
        let plain = targets.iter().zip(&shapes).filter(|(_, shape)| is_plain(shape));
        let plain: Vec<_> = plain.map(|(target, _)| target.clone()).collect();
        let mut plain = self.handles.deletion.delete_all(&plain).await.into_iter();
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

    /// Deletes the object's segments, and the object last, when no segment is left: a deletion that failed or was
    /// interrupted can be finished by another one.
    ///
    /// Swift's own deletion of a static large object accepts at most ten times as many segments as a manifest, and
    /// deletes the manifest even if a segment remains. It is used if the server doesn't return the manifest.
    pub(crate) async fn delete_large(&self, object: &Target, shape: &Shape) -> Result<()> {
        let Handles { manifests, deletion, .. } = &self.handles;
        if let Shape::Dynamic { container, prefix } = shape {
            let segments = manifests.dynamic_segments(object, container, prefix).await?;
            let targets: Vec<_> =
                segments.into_iter().map(|segment| Target::new(container, segment.name)).collect();
            deletion.delete_all(&targets).await.into_iter().collect::<Result<()>>()?;
            return deletion.delete_one(object).await;
        }
        if self.handles.containers.client.dialect().returns_manifests() == Some(false) {
            return self.delete_unreadable(object).await;
        }
        match manifests.manifest(object).await? {
            Manifest::Segments(manifest) => {
                for level in manifests.levels(&manifest).await?.iter().rev() {
                    deletion.delete_all(level).await.into_iter().collect::<Result<()>>()?;
                }
                deletion.delete_one(object).await
            }
            Manifest::Unreadable { .. } => self.delete_unreadable(object).await,
            Manifest::Other => self.delete_if_plain(object).await,
            Manifest::Absent => Ok(()),
        }
    }

    /// Deletes a static large object whose manifest the server doesn't return.
    async fn delete_unreadable(&self, object: &Target) -> Result<()> {
        // radosgw takes the names in a manifest for encoded ones when it deletes them.
        if object.to_string().contains('%') && self.delete_upload(object).await? {
            return Ok(());
        }
        if self.handles.deletion.delete_with_segments(object).await? {
            return Ok(());
        }
        self.delete_if_plain(object).await
    }

    /// Deletes a static large object that consists of a known upload. Returns false if it doesn't.
    async fn delete_upload(&self, object: &Target) -> Result<bool> {
        let Handles { manifests, deletion, .. } = &self.handles;
        let Manifest::Unreadable { e_tag } = manifests.static_manifest(object).await? else {
            return Ok(false);
        };
        let Some(segments) = manifests.only_upload_of(object, &e_tag).await? else { return Ok(false) };
        deletion.delete_all(&segments).await.into_iter().collect::<Result<()>>()?;
        deletion.delete_one(object).await?;
        Ok(true)
    }

    /// Deletes what isn't a large object although a listing, which may lag behind, has shown one.
    async fn delete_if_plain(&self, object: &Target) -> Result<()> {
        match object::shape(&self.handles.containers, object).await? {
            Some(Shape::Plain) => self.handles.deletion.delete_one(object).await,
            Some(_) => Err(StoreError::Changed { target: object.to_string() }.into()),
            None => Ok(()),
        }
    }
}
