//! Everything that a manifest names, through the manifests that it names.

use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use object_store::Result;

use super::{Manifest, Manifests, Segment, changed, e_tag, targets};
use crate::{concurrency::at_once, error::StoreError, target::Target};

impl Manifests {
    /// Returns the segments of the static large object with this tag, in order; none of them is a large object itself.
    /// None if its segments are ranges of large objects, or it isn't known which they are.
    ///
    /// # Errors
    ///
    /// `Precondition` if the object no longer has this tag, or a nested manifest isn't the one that it names.
    pub(crate) fn leaves<'a>(
        &'a self,
        object: &'a Target,
        tag: &'a str,
    ) -> BoxFuture<'a, Result<Option<Vec<Segment>>>> {
        async move {
            if self.containers.client.dialect().returns_manifests() == Some(false) {
                return self.proven(object, tag).await;
            }
            let manifest = match self.manifest(object).await? {
                Manifest::Segments(segments) if e_tag(&segments) == tag => segments,
                Manifest::Unreadable { e_tag } if e_tag == tag => return self.proven(object, tag).await,
                _ => return Err(changed(object)),
            };
            let mut leaves = Vec::with_capacity(manifest.len());
            for segment in manifest {
                let Some(target) = segment.target().filter(|_| segment.nested) else {
                    leaves.push(segment);
                    continue;
                };
                if segment.range.is_some() {
                    return Ok(None);
                }
                let Some(inner) = self.leaves(&target, &segment.e_tag).await? else { return Ok(None) };
                leaves.extend(inner);
            }
            Ok(Some(leaves))
        }
        .boxed()
    }

    /// Returns everything that a manifest and its nested manifests name, level by level: each manifest is in an earlier
    /// level than what it names. A missing nested manifest names nothing.
    pub(crate) async fn levels(&self, manifest: &[Segment]) -> Result<Vec<Vec<Target>>> {
        let mut levels = vec![targets(manifest)];
        let mut manifests = nested(manifest);
        while !manifests.is_empty() {
            let opened = manifests.iter().map(|target| self.manifest(target).boxed());
            let opened: Vec<_> = at_once(opened).try_collect().await?;
            let mut inner = Vec::new();
            for (target, manifest) in manifests.iter().zip(opened) {
                match manifest {
                    Manifest::Absent | Manifest::Other => {}
                    Manifest::Segments(segments) => inner.extend(segments),
                    Manifest::Unreadable { .. } => return Err(unreadable(target).into()),
                }
            }
            levels.push(targets(&inner));
            manifests = nested(&inner);
        }
        Ok(levels)
    }
}

/// Returns the manifests among the segments.
fn nested(segments: &[Segment]) -> Vec<Target> {
    segments.iter().filter(|segment| segment.nested).filter_map(Segment::target).collect()
}

/// The error of an operation that needs a manifest which the server doesn't return.
fn unreadable(object: &Target) -> StoreError {
    let reason = "the server doesn't return its manifest".to_owned();
    StoreError::Large { target: object.to_string(), reason }
}
