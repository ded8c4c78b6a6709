//! An upload in parts whose state is kept in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use object_store::{Attributes, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::{LargeObjects, SegmentNames, lock};
use crate::{error::StoreError, manifests::Segment, object::to_headers, target::Target};

/// An upload in progress: its segments have names of their own until a manifest names them.
#[derive(Debug)]
pub(crate) struct Upload {
    large: LargeObjects,
    object: Target,
    headers: HeaderMap,
    place: SegmentNames,
    parts: Arc<Mutex<Parts>>,
    /// Whether a manifest may have been stored.
    completing: bool,
    /// Whether the upload was completed or aborted.
    settled: bool,
}

/// The state of the parts.
#[derive(Debug, Default)]
struct Parts {
    /// The segments of each part, by its number. None if the part isn't stored (yet).
    stored: Vec<Option<Vec<Segment>>>,
    /// All segments that may have been stored, even if their part failed.
    begun: Vec<Target>,
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (large, parts, place) = (self.large.clone(), Arc::clone(&self.parts), self.place.clone());
        let (part, others) = {
            let mut parts = lock(&parts);
            parts.stored.push(None);
            let part = parts.stored.len() - 1;
            (part, part.max(parts.begun.len()))
        };
        async move {
            let begun = |target| lock(&parts).begun.push(target);
            let segments = large.put_segments(&place, part, data, others, begun).await?;
            lock(&parts).stored[part] = Some(segments);
            Ok(())
        }
        .boxed()
    }

    /// Creates the object from the parts, in one step.
    async fn complete(&mut self) -> Result<PutResult> {
        let segments = self.segments()?;
        let Self { large, object, place, headers, .. } = self;
        let ready = large.ready(object, place, &segments, headers, self.completing).await?;
        self.completing = true;
        let completed = large.complete(object, place, segments, headers.clone(), ready).await;
        self.settled |= completed.is_ok();
        completed
    }

    /// Removes the segments. Parts that are still being sent may arrive afterwards, and are left for the sweep. A
    /// completed upload stays, even if that wasn't acknowledged: delete the object if it isn't wanted.
    async fn abort(&mut self) -> Result<()> {
        self.settled = true;
        let begun = lock(&self.parts).begun.clone();
        if self.completing {
            return self.large.discard(&self.object, &self.place, begun).await;
        }
        self.large.handles.deletion.delete_all(&begun).await.into_iter().collect()
    }
}

impl Upload {
    /// Begins an upload; no request is sent yet.
    pub(crate) fn new(large: &LargeObjects, object: Target, attributes: &Attributes) -> Result<Self> {
        Ok(Self::with_headers(large, object, to_headers(attributes)?))
    }

    /// As [`new`](Self::new), for an object that must not replace another: `complete` fails with `AlreadyExists` if the
    /// name is taken.
    pub(crate) fn create(large: &LargeObjects, object: Target) -> Self {
        let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::from_static("*"))]);
        Self::with_headers(large, object, headers)
    }

    /// As [`new`](Self::new), with the headers that the object gets.
    pub(crate) fn with_headers(large: &LargeObjects, object: Target, headers: HeaderMap) -> Self {
        Self {
            large: large.clone(),
            place: SegmentNames::unique(&object),
            object,
            headers,
            parts: Arc::default(),
            completing: false,
            settled: false,
        }
    }

    /// Returns all segments, in the order of the parts.
    fn segments(&self) -> Result<Vec<Segment>> {
        let parts = lock(&self.parts);
        let missing = parts.stored.iter().position(Option::is_none);
        if let Some(part) = missing {
            return Err(StoreError::Upload {
                target: self.object.to_string(),
                reason: format!("part {part} is not stored: it failed, or was not waited for"),
            }
            .into());
        }
        Ok(parts.stored.iter().flatten().flatten().cloned().collect())
    }
}

/// An upload that is dropped without an end, because its caller was stopped or has failed, leaves its segments.
impl Drop for Upload {
    fn drop(&mut self) {
        let segments = lock(&self.parts).begun.len();
        if !self.settled && segments > 0 {
            tracing::warn!(
                segments,
                "the upload of {} was abandoned; its segments remain until they are swept",
                self.object
            );
        }
    }
}
