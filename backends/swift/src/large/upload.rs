use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderMap, HeaderValue, header};
use object_store::{Attributes, MultipartUpload, PutPayload, PutResult, Result, UploadPart, path::Path};
use uuid::Uuid;

use super::{Place, Segment};
use crate::{
    StoreError,
    bulk::Target,
    object::{SURELY_FITS, to_headers},
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
        Ok(Upload {
            store: Arc::clone(self),
            object: Target::new(&self.container, location.as_ref()),
            headers: to_headers(attributes)?,
            place: self.new_place(location.as_ref()),
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
        let (object, place) =
            (Target::new(&self.container, location.as_ref()), self.new_place(location.as_ref()));
        let parts = Mutex::default();
        let stored = async {
            let segments = self.put_segments(&place, 0, payload, &parts).await?;
            self.write_manifests(&object, &place, segments, headers).await
        };
        let stored = stored.await;
        if stored.is_err() {
            let begun = std::mem::take(&mut lock(&parts).begun);
            self.discard_quietly(&object, &place, begun).await;
        }
        stored
    }

    /// A place for the segments of a new upload.
    pub(crate) fn new_place(&self, object: &str) -> Place {
        Place::new(object, Uuid::new_v4())
    }

    /// Stores a part as as many segments as it takes.
    async fn put_segments(
        &self,
        place: &Place,
        part: usize,
        data: PutPayload,
        parts: &Mutex<Parts>,
    ) -> Result<Vec<Segment>> {
        let most = if data.content_length() <= SURELY_FITS {
            SURELY_FITS as u64
        } else {
            self.client.info().await?.max_file_size
        };
        let mut segments = Vec::new();
        for (number, piece) in cut(data, most).into_iter().enumerate() {
            let target = Target::new(&self.segments, place.segment(part, number));
            lock(parts).begun.push(target.clone());
            let bytes = piece.content_length() as u64;
            let headers = HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )]);
            let e_tag = self.put_plain(&target.container, &target.name, piece, headers).await?;
            segments.push(Segment { name: target.path(), e_tag, bytes, range: None, nested: false });
        }
        Ok(segments)
    }

    /// Removes what an upload has stored. If its manifest was stored after all, though nobody was told, the
    /// object goes with it: it was never acknowledged, and would have lost its content.
    async fn discard(&self, object: &Target, place: &Place, mut begun: Vec<Target>) -> Result<()> {
        let manifest = self.static_manifest(object).await?.unwrap_or_default();
        let names_it = |target: Target| target.container == self.segments && place.has(&target.name);
        if manifest.iter().filter_map(Segment::target).any(names_it) {
            begun.push(object.clone());
        }
        begun.extend(self.nested_manifests(place).await?);
        self.delete_all(&begun).await.into_iter().collect()
    }

    /// The same after a failure that is to be reported rather than one of this. What stays is for a sweep.
    pub(crate) async fn discard_quietly(&self, object: &Target, place: &Place, begun: Vec<Target>) {
        if let Err(error) = self.discard(object, place, begun).await {
            tracing::warn!(%object, %error, "segments of a failed upload are left behind, for a sweep to remove");
        }
    }

    /// The nested manifests that an upload has stored.
    async fn nested_manifests(&self, place: &Place) -> Result<Vec<Target>> {
        match self.names_under(&self.segments, &place.manifests()).await {
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
            let segments = store.put_segments(&place, part, data, &parts).await?;
            lock(&parts).stored[part] = Some(segments);
            Ok(())
        }
        .boxed()
    }

    /// Puts the parts together under the object's name, in one step.
    async fn complete(&mut self) -> Result<PutResult> {
        let segments = self.segments()?;
        let (store, object, headers) = (&self.store, &self.object, self.headers.clone());
        let replaced = store.segments_to_replace(object).await?;
        self.completing = true;
        let e_tag = if segments.is_empty() {
            // Swift has no large object of no segments.
            store.put_plain(&object.container, &object.name, PutPayload::new(), headers).await?
        } else {
            store.write_manifests(object, &self.place, segments, headers).await?
        };
        store.remove_quietly(replaced).await;
        Ok(PutResult { e_tag: Some(e_tag), version: None, extensions: http::Extensions::new() })
    }

    /// Removes the segments. Parts still on their way may arrive afterwards, and are left for a sweep.
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

/// The payload in pieces of at most `most` bytes; none if it is empty, as Swift takes no empty segments.
fn cut(payload: PutPayload, most: u64) -> Vec<PutPayload> {
    let most = usize::try_from(most).unwrap_or(usize::MAX).max(1);
    let (mut pieces, mut piece, mut room): (Vec<Vec<Bytes>>, Vec<Bytes>, usize) =
        (Vec::new(), Vec::new(), most);
    for mut chunk in payload {
        while !chunk.is_empty() {
            let taken = chunk.split_to(chunk.len().min(room));
            room -= taken.len();
            piece.push(taken);
            if room == 0 {
                pieces.push(std::mem::take(&mut piece));
                room = most;
            }
        }
    }
    pieces.extend((!piece.is_empty()).then_some(piece));
    pieces.into_iter().map(PutPayload::from_iter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(pieces: &[PutPayload]) -> Vec<usize> {
        pieces.iter().map(PutPayload::content_length).collect()
    }

    #[test]
    fn a_part_is_cut_where_an_object_may_not_be_longer_whatever_its_chunks() {
        let payload = PutPayload::from_iter([Bytes::from("abc"), Bytes::from("defgh"), Bytes::from("ij")]);
        let pieces = cut(payload, 4);
        assert_eq!(lengths(&pieces), [4, 4, 2]);
        let all: Vec<u8> = pieces.into_iter().flatten().flatten().collect();
        assert_eq!(all, b"abcdefghij");
    }

    #[test]
    fn a_part_of_exactly_the_limit_is_one_piece_and_an_empty_one_none() {
        assert_eq!(lengths(&cut("abcd".into(), 4)), [4]);
        assert!(cut(PutPayload::new(), 4).is_empty());
    }
}
