//! Large objects: stores segments and the manifests that name them, and removes them after a failure.
//!
//! Segments have names of their own ([`SegmentNames`]) until a manifest names them. A crash before that leaves them for
//! the sweep.

mod cut;
mod manifest_limits;
mod manifest_report;
mod manifest_writer;
mod multipart_upload;
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
    segment_names::{SegmentNames, segments_of, upload_of},
};
use crate::{
    create_only::FreeName,
    error::StoreError,
    handles::Handles,
    manifests::{Manifest, Segment, e_tag},
    object::put_plain,
    outage::is_outage,
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

/// The limits of the segments of one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLimits {
    /// The largest size of a segment.
    pub(crate) bytes: u64,
    /// The largest number of segments that an object can certainly have.
    pub(crate) number: u64,
}

/// The longest name of an object and its container, in bytes.
const LONGEST_NAME: usize = 1024 + 256;

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

    /// Returns the largest number of parts of this length that an object can certainly have. None if there is no limit.
    pub(crate) async fn most_parts(&self, part_bytes: u64) -> Result<Option<u64>> {
        let Some(SegmentLimits { bytes, number }) = self.segment_limits().await? else { return Ok(None) };
        Ok(Some(number / part_bytes.div_ceil(bytes).max(1)))
    }

    /// Returns the limits of the segments of an object. None if their number isn't limited.
    pub(crate) async fn segment_limits(&self) -> Result<Option<SegmentLimits>> {
        let containers = &self.handles.containers;
        let info = containers.client.info().await?;
        // A cluster without large objects refuses the first part.
        let limits = ManifestLimits::of(containers, &containers.container, &info).ok();
        let number = limits.and_then(|limits| limits.certain(LONGEST_NAME));
        Ok(number.map(|number| SegmentLimits { bytes: info.max_file_size.max(1), number: number as u64 }))
    }

    /// Whether an object can certainly not consist of these segments, once they are at this place.
    pub(crate) async fn excludes(
        &self,
        object: &Target,
        place: &SegmentNames,
        segments: &[Segment],
    ) -> Result<bool> {
        let containers = &self.handles.containers;
        let info = containers.client.info().await?;
        let limits = ManifestLimits::of(containers, &object.to_string(), &info)?;
        let longest_name = place.segment(segments.len(), 0).len() + containers.segments.len() + 2;
        Ok(limits.excludes(segments.len(), longest_name)
            || long_enough(object, segments, info.shortest_segment()).is_err())
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

    /// Removes the segments of an upload, unless an unacknowledged try has completed it. Then they stay: the object is
    /// complete, and the object that it replaced can't be restored.
    pub(crate) async fn discard(
        &self,
        object: &Target,
        place: &SegmentNames,
        mut begun: Vec<Target>,
    ) -> Result<()> {
        if self.may_consist_of(object, place).await? {
            return Ok(());
        }
        begun.extend(self.listed_at(place).await?);
        self.handles.deletion.delete_all(&begun).await.into_iter().collect()
    }

    /// Whether an object consists of the segments of an upload, or it can't be proven that it doesn't.
    async fn may_consist_of(&self, object: &Target, place: &SegmentNames) -> Result<bool> {
        let names_it = |segments: &[Segment]| {
            let mut targets = segments.iter().filter_map(Segment::target);
            targets
                .any(|target| target.container == self.handles.containers.segments && place.has(&target.name))
        };
        Ok(match self.handles.manifests.static_manifest(object).await? {
            Manifest::Absent | Manifest::Other => false,
            Manifest::Segments(segments) => names_it(&segments),
            Manifest::Unreadable { e_tag } => {
                let uploads = self.handles.manifests.uploads_of(object, &e_tag).await?;
                uploads.is_empty() || uploads.iter().any(|upload| names_it(upload))
            }
        })
    }

    /// As [`discard`](Self::discard), after a failure that is reported instead of any failure here. What can't be
    /// removed is left for the sweep; after an outage, that is everything, since these requests would fail as well.
    pub(crate) async fn discard_quietly(
        &self,
        object: &Target,
        place: &SegmentNames,
        begun: Vec<Target>,
        failure: &object_store::Error,
    ) {
        if is_outage(failure) {
            tracing::warn!(%object, "segments of a failed upload are left behind until a sweep removes them");
            return;
        }
        if let Err(error) = self.discard(object, place, begun).await {
            tracing::warn!(%object, %error, "segments of a failed upload are left behind until a sweep removes them");
        }
    }

    /// Removes what an upload has stored and its manifest doesn't name: another server than Swift may not return the
    /// manifest, and then it couldn't be told whose segments these are.
    pub(crate) async fn remove_surplus(&self, object: &Target, place: &SegmentNames, named: &[Target]) {
        if self.handles.containers.client.dialect().nests_manifests() == Some(true) {
            return;
        }
        match self.listed_at(place).await {
            Ok(mut stored) => {
                stored.retain(|target| !named.contains(target) && !place.is_manifest(&target.name));
                self.handles.deletion.remove_quietly(stored).await;
            }
            Err(error) => tracing::debug!(%object, %error, "can't list what the upload has stored"),
        }
    }

    /// Returns the segments of an upload, according to a listing.
    async fn listed_at(&self, place: &SegmentNames) -> Result<Vec<Target>> {
        match self.handles.listings.names_under(&self.handles.containers.segments, &place.prefix()).await {
            Ok(entries) => Ok(entries
                .into_iter()
                .map(|entry| Target::new(&self.handles.containers.segments, entry.name))
                .collect()),
            // Without the container there are no segments.
            Err(error) if StoreError::is_missing_container(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// Locks a list. A panic elsewhere leaves the lists valid.
fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}
