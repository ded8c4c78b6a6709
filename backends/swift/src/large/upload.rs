use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures::FutureExt;
use http::HeaderMap;
use object_store::{Attributes, MultipartUpload, PutPayload, PutResult, Result, UploadPart, path::Path};

use super::{Place, Segment, segments::long_enough};
use crate::{
    StoreError,
    bulk::{Target, is_outage},
    object::to_headers,
    store::Store,
};

/// A large object in the making: segments that lie below a name of their own, until a manifest names them.
#[derive(Debug)]
pub(crate) struct Upload {
    store: Arc<Store>,
    object: Target,
    headers: HeaderMap,
    place: Place,
    parts: Arc<Mutex<Parts>>,
    /// Whether there may be a manifest already.
    completing: bool,
}

/// What has become of the parts.
#[derive(Debug, Default)]
struct Parts {
    /// The segments of each part, by its number. None: not stored, or not yet.
    stored: Vec<Option<Vec<Segment>>>,
    /// Segments that may lie in the container, whether or not their part is done.
    begun: Vec<Target>,
}

impl Store {
    /// Begins an upload; nothing is sent yet.
    pub(crate) fn upload(self: &Arc<Self>, location: &Path, attributes: &Attributes) -> Result<Upload> {
        let object = self.target(location);
        Ok(Upload {
            store: Arc::clone(self),
            place: Place::unique(&object),
            object,
            headers: to_headers(attributes)?,
            parts: Arc::default(),
            completing: false,
        })
    }

    /// Stores a payload that is too long for one object as a large one, segment after segment, and gives the
    /// entity tag. A failure leaves nothing behind, if that can be removed.
    pub(crate) async fn put_long(
        &self,
        location: &Path,
        payload: PutPayload,
        headers: HeaderMap,
    ) -> Result<String> {
        let object = self.target(location);
        let place = Place::unique(&object);
        let parts = Mutex::default();
        let stored = async {
            let begun = |target| lock(&parts).begun.push(target);
            let segments = self.put_segments(&place, 0, payload, begun).await?;
            self.write_manifests(&object, &place, segments, headers).await
        };
        let stored = stored.await;
        if let Err(error) = &stored {
            let begun = std::mem::take(&mut lock(&parts).begun);
            self.discard_quietly(&object, &place, begun, error).await;
        }
        stored
    }

    /// Makes an object of the segments that an upload has stored, in the place of what is there.
    pub(super) async fn complete(
        &self,
        object: &Target,
        place: &Place,
        segments: Vec<Segment>,
        headers: HeaderMap,
    ) -> Result<PutResult> {
        long_enough(object, &segments, self.client.info().await?.shortest_segment())?;
        let mut replaced = self.segments_to_replace(object).await?;
        // Completed before, although the answer was lost.
        replaced.retain(|target| !place.has(&target.name));
        let e_tag = if segments.is_empty() {
            // Swift has no large object of no segments.
            self.put_plain(&object.container, &object.name, PutPayload::new(), headers).await?
        } else {
            self.write_manifests(object, place, segments, headers).await?
        };
        self.remove_quietly(replaced).await;
        Ok(PutResult { e_tag: Some(e_tag), version: None, extensions: http::Extensions::new() })
    }

    /// Removes what an upload has stored, unless it has become the object after all, though nobody was told. Then
    /// all of it stays: it is whole, and what it has replaced can't be brought back.
    pub(super) async fn discard(&self, object: &Target, place: &Place, mut begun: Vec<Target>) -> Result<()> {
        let manifest = self.static_manifest(object).await?.unwrap_or_default();
        let names_it = |target: Target| target.container == self.segments && place.has(&target.name);
        if manifest.iter().filter_map(Segment::target).any(names_it) {
            return Ok(());
        }
        begun.extend(self.listed_at(place).await?);
        self.delete_all(&begun).await.into_iter().collect()
    }

    /// The same after a failure that is to be reported rather than one of this. What stays is for a sweep: all of it
    /// where nobody served the request, as nobody would serve these.
    pub(crate) async fn discard_quietly(
        &self,
        object: &Target,
        place: &Place,
        begun: Vec<Target>,
        failure: &object_store::Error,
    ) {
        if is_outage(failure) {
            tracing::warn!(%object, "segments of a failed upload are left behind, for a sweep to remove");
            return;
        }
        if let Err(error) = self.discard(object, place, begun).await {
            tracing::warn!(%object, %error, "segments of a failed upload are left behind, for a sweep to remove");
        }
    }

    /// What an upload has stored, as far as a listing shows it.
    async fn listed_at(&self, place: &Place) -> Result<Vec<Target>> {
        match self.names_under(&self.segments, &place.prefix()).await {
            Ok(entries) => {
                Ok(entries.into_iter().map(|entry| Target::new(&self.segments, entry.name)).collect())
            }
            // No container has no segments.
            Err(error) if StoreError::is_missing_container(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, parts, place) = (Arc::clone(&self.store), Arc::clone(&self.parts), self.place.clone());
        let part = {
            let mut parts = lock(&parts);
            parts.stored.push(None);
            parts.stored.len() - 1
        };
        async move {
            let begun = |target| lock(&parts).begun.push(target);
            let segments = store.put_segments(&place, part, data, begun).await?;
            lock(&parts).stored[part] = Some(segments);
            Ok(())
        }
        .boxed()
    }

    /// Puts the parts together under the object's name, in one step.
    async fn complete(&mut self) -> Result<PutResult> {
        let segments = self.segments()?;
        self.completing = true;
        self.store.complete(&self.object, &self.place, segments, self.headers.clone()).await
    }

    /// Removes the segments. Parts still on their way may arrive afterwards, and are left for a sweep. An upload
    /// that is complete, even if nobody was told, stays: delete the object if it isn't wanted.
    async fn abort(&mut self) -> Result<()> {
        let begun = lock(&self.parts).begun.clone();
        if self.completing {
            return self.store.discard(&self.object, &self.place, begun).await;
        }
        self.store.delete_all(&begun).await.into_iter().collect()
    }
}

impl Upload {
    /// All segments, in the order of the parts.
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

/// A panic elsewhere leaves the lists as they were.
fn lock(parts: &Mutex<Parts>) -> MutexGuard<'_, Parts> {
    parts.lock().unwrap_or_else(PoisonError::into_inner)
}
