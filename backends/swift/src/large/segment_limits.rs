//! What can be stored as a large object, for callers that ask before they store anything.

use object_store::Result;

use super::{LargeObjects, SegmentNames, cut::long_enough, manifest_limits::ManifestLimits};
use crate::{manifests::Segment, target::Target};

/// The longest name of an object and its container, in bytes.
const LONGEST_NAME: usize = 1024 + 256;

/// The limits of the segments of one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SegmentLimits {
    /// The largest size of a segment.
    pub(crate) bytes: u64,
    /// The largest number of segments that an object can certainly have.
    pub(crate) number: u64,
}

impl LargeObjects {
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
}
