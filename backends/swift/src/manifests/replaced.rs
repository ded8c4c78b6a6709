//! The segments to which nothing refers once an object is replaced.

use object_store::Result;

use super::{Manifest, Manifests, targets};
use crate::{
    object::{Shape, head_unproven},
    target::Target,
};

impl Manifests {
    /// Returns the objects that nothing refers to after this object is replaced: its segments, if they are in this
    /// store's own container of segments. `is_new` tells of a segment whether the object is replaced by it.
    pub(crate) async fn segments_to_replace(
        &self,
        object: &Target,
        is_new: impl Fn(&Target) -> bool + Sync,
    ) -> Result<Vec<Target>> {
        // If the container is missing, the PUT reports it.
        let Some(headers) = head_unproven(&self.containers, object).await? else { return Ok(Vec::new()) };
        let mut targets = match Shape::of(&headers) {
            Shape::Plain => Vec::new(),
            Shape::Static => match self.manifest_with(object, &headers).await? {
                Manifest::Absent | Manifest::Other => Vec::new(),
                Manifest::Segments(segments) => self.levels(&segments).await?.into_iter().flatten().collect(),
                Manifest::Unreadable { e_tag } => self.upload_to_replace(object, &e_tag, &is_new).await?,
            },
            Shape::Dynamic { container, prefix } if container == self.containers.segments => {
                let segments = self.dynamic_segments(object, &container, &prefix).await?;
                segments.into_iter().map(|segment| Target::new(&container, segment.name)).collect()
            }
            Shape::Dynamic { .. } => Vec::new(),
        };
        targets.retain(|target| target.container == self.containers.segments && !is_new(target));
        Ok(targets)
    }

    /// Returns the segments of an object with this tag whose manifest can't be read, if a single upload has its content
    /// beside the new one, which may be of the same content.
    async fn upload_to_replace(
        &self,
        object: &Target,
        tag: &str,
        is_new: &(impl Fn(&Target) -> bool + Sync),
    ) -> Result<Vec<Target>> {
        let uploads = self.uploads_of(object, tag).await?;
        let mut others: Vec<_> = uploads.iter().map(|upload| targets(upload)).collect();
        others.retain(|upload| !upload.iter().any(is_new));
        match (others.pop(), others.is_empty()) {
            (Some(only), true) => Ok(only),
            // An earlier try has completed the new one.
            (None, _) if !uploads.is_empty() => Ok(Vec::new()),
            _ => {
                tracing::warn!(%object, "it isn't known which segments the replaced object has; they are left behind");
                Ok(Vec::new())
            }
        }
    }
}
