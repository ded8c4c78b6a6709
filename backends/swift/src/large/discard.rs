//! Removes the segments of uploads that have failed, or that have stored more than their object consists of.

use object_store::Result;

use super::{LargeObjects, SegmentNames};
use crate::{
    error::StoreError,
    manifests::{Manifest, Segment},
    outage::is_outage,
    target::Target,
};

impl LargeObjects {
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
