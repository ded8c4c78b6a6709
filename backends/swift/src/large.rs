//! Large objects: stores segments and the manifests that name them, and removes them after a failure.
//!
//! Segments have names of their own ([`SegmentNames`]) until a manifest names them. A crash before that leaves them for
//! the sweep.

mod cut;
mod discard;
mod manifest_limits;
mod manifest_report;
mod manifest_writer;
mod multipart_upload;
mod segment_limits;
mod segment_names;

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderValue, header};
use object_store::{PutPayload, PutResult, Result, path::Path};

use self::{
    cut::{cut, long_enough},
    manifest_limits::ManifestLimits,
    manifest_writer::ManifestWriter,
};
pub(crate) use self::{
    multipart_upload::Upload,
    segment_limits::SegmentLimits,
    segment_names::{SegmentNames, segments_of, upload_of},
};
use crate::{
    create_only::FreeName,
    handles::Handles,
    manifests::{Manifest, Segment, e_tag},
    object::put_plain,
    target::Target,
};

/// What is known before an upload is completed.
#[derive(Debug)]
pub(crate) enum Ready {
    /// An earlier try has completed it, although its response was lost.
    Stored,
    /// No object has the name yet.
    Free(FreeName),
    /// Nothing refers to these segments afterwards.
    Replaces(Vec<Target>),
}

/// Stores large objects, and removes what a failed upload has stored.
#[derive(Clone, Debug)]
pub(crate) struct LargeObjects {
    handles: Handles,
    writer: ManifestWriter,
}

impl LargeObjects {
    pub(crate) fn new(handles: &Handles) -> Self {
        Self {
            writer: ManifestWriter::new(&handles.containers, &handles.manifests),
            handles: handles.clone(),
        }
    }

    /// Creates a large object from segments; see [`ManifestWriter`].
    pub(crate) async fn write_manifests(
        &self,
        target: &Target,
        place: &SegmentNames,
        segments: Vec<Segment>,
        headers: HeaderMap,
    ) -> Result<String> {
        self.writer.write_manifests(target, place, segments, headers).await
    }

    /// Stores a part as one or more segments, and passes the name of each to `begun` before it is sent. The object has
    /// at least `others` segments beside these.
    pub(crate) async fn put_segments(
        &self,
        place: &SegmentNames,
        part: usize,
        data: PutPayload,
        others: usize,
        begun: impl Fn(Target) + Send,
    ) -> Result<Vec<Segment>> {
        let info = self.handles.containers.client.info().await?;
        let limits = ManifestLimits::of(&self.handles.containers, place.object(), &info)?;
        let pieces = cut(data, info.max_file_size);
        let name = Target::new(&self.handles.containers.segments, place.segment(part, 0)).path();
        limits.check(place.object(), others + pieces.len(), name.len())?;
        let mut segments = Vec::new();
        for (number, piece) in pieces.into_iter().enumerate() {
            let target = Target::new(&self.handles.containers.segments, place.segment(part, number));
            begun(target.clone());
            let bytes = piece.content_length() as u64;
            let headers = HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )]);
            let e_tag = put_plain(&self.handles.containers, &target, piece, headers).await?;
            segments.push(Segment { name: target.path(), e_tag, bytes, range: None, nested: false });
        }
        Ok(segments)
    }

    /// Stores a payload that is too long for one object as a large object, segment by segment, and returns the entity
    /// tag. After a failure it removes the segments, if possible.
    pub(crate) async fn put_long(
        &self,
        location: &Path,
        payload: PutPayload,
        headers: HeaderMap,
    ) -> Result<String> {
        let object = self.handles.containers.target(location);
        let place = SegmentNames::unique(&object);
        let begun: Mutex<Vec<Target>> = Mutex::default();
        let stored = async {
            let note = |target| lock(&begun).push(target);
            let segments = self.put_segments(&place, 0, payload, 0, note).await?;
            self.writer.write_manifests(&object, &place, segments, headers).await
        };
        let stored = stored.await;
        if let Err(error) = &stored {
            let begun = std::mem::take(&mut *lock(&begun));
            self.discard_quietly(&object, &place, begun, error).await;
        }
        stored
    }

    /// Checks, before an upload is completed, that this can succeed, and learns what it replaces. `is_again` if an earlier
    /// try may have completed it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the headers forbid to replace an object that exists. Nothing was stored then.
    pub(crate) async fn ready(
        &self,
        object: &Target,
        place: &SegmentNames,
        segments: &[Segment],
        headers: &HeaderMap,
        is_again: bool,
    ) -> Result<Ready> {
        let containers = &self.handles.containers;
        long_enough(object, segments, containers.client.info().await?.shortest_segment())?;
        if headers.contains_key(header::IF_NONE_MATCH) {
            return match FreeName::ensure(containers, object).await {
                Err(object_store::Error::AlreadyExists { .. })
                    if is_again && self.has_content(object, segments).await? =>
                {
                    Ok(Ready::Stored)
                }
                free => Ok(Ready::Free(free?)),
            };
        }
        let is_new = |target: &Target| target.container == containers.segments && place.has(&target.name);
        Ok(Ready::Replaces(self.handles.manifests.segments_to_replace(object, is_new).await?))
    }

    /// Whether an object has the content of these segments.
    async fn has_content(&self, object: &Target, segments: &[Segment]) -> Result<bool> {
        Ok(match self.handles.manifests.static_manifest(object).await? {
            Manifest::Absent | Manifest::Other => false,
            Manifest::Segments(found) => e_tag(&found) == e_tag(segments),
            Manifest::Unreadable { e_tag: found } => found == e_tag(segments),
        })
    }

    /// Creates an object from the segments that an upload has stored, in place of the object that had the name, unless
    /// the headers forbid that.
    pub(crate) async fn complete(
        &self,
        object: &Target,
        place: &SegmentNames,
        segments: Vec<Segment>,
        headers: HeaderMap,
        ready: Ready,
    ) -> Result<PutResult> {
        let containers = &self.handles.containers;
        let e_tag = if matches!(ready, Ready::Stored) {
            e_tag(&segments)
        } else if segments.is_empty() {
            // Swift doesn't accept a large object without segments.
            put_plain(containers, object, PutPayload::new(), headers).await?
        } else {
            self.writer.write_manifests(object, place, segments, headers).await?
        };
        match ready {
            Ready::Stored => {}
            Ready::Free(free) => free.confirm(containers, object, &e_tag).await?,
            Ready::Replaces(replaced) => self.handles.deletion.remove_quietly(replaced).await,
        }
        Ok(PutResult { e_tag: Some(e_tag), version: None, extensions: http::Extensions::new() })
    }
}

/// Locks a list. A panic elsewhere leaves the lists valid.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
