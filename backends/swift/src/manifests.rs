//! The parts of large objects: reads the manifests of static ones, and lists the segments of dynamic ones.

mod dynamic;
mod segment;

use std::sync::Arc;

use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use http::{Method, StatusCode};
use object_store::Result;

use self::dynamic::is_segment;
pub(crate) use self::segment::{Segment, capacity, e_tag, encode};
use crate::{
    client::{Request, rejected},
    concurrency::at_once,
    containers::Containers,
    error::StoreError,
    listing::{Entry, Listings},
    object::{Shape, shape, unquoted},
    target::Target,
};

/// The longest manifest that is read, whatever the cluster's limit is.
const MANIFEST_LIMIT: usize = 64 << 20;

/// Finds the parts of large objects.
#[derive(Clone, Debug)]
pub(crate) struct Manifests {
    containers: Arc<Containers>,
    listings: Listings,
}

impl Manifests {
    pub(crate) fn new(containers: &Arc<Containers>, listings: &Listings) -> Self {
        Self { containers: Arc::clone(containers), listings: listings.clone() }
    }

    /// Returns the segments that a static large object names, without opening nested manifests. None if there is no
    /// such object, or it isn't a static large object.
    pub(crate) async fn manifest(&self, target: &Target) -> Result<Option<Vec<Segment>>> {
        let request =
            Request::object(Method::GET, &target.container, &target.name).query("multipart-manifest", "get");
        let response = self.containers.client.send(request.clone()).await?;
        match response.status {
            StatusCode::OK if Shape::of(&response.headers) == Shape::Static => {}
            StatusCode::OK | StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(rejected(response).await.into()),
        }
        let body = self.containers.whole(&request, response, MANIFEST_LIMIT).await?;
        let mut segments: Vec<Segment> =
            serde_json::from_slice(&body).map_err(|error| StoreError::Large {
                target: target.to_string(),
                reason: format!("its manifest can't be read: {error}"),
            })?;
        for segment in &mut segments {
            segment.e_tag = unquoted(&segment.e_tag).to_owned();
        }
        Ok(Some(segments))
    }

    /// Returns the segments of the static large object with this tag, in order; none of them is a large object itself.
    /// None if its segments are ranges of large objects.
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
            let manifest = self.manifest(object).await?.filter(|manifest| e_tag(manifest) == tag);
            let Some(manifest) = manifest else { return Err(changed(object)) };
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
            let inner: Vec<_> = opened.into_iter().flatten().flatten().collect();
            levels.push(targets(&inner));
            manifests = nested(&inner);
        }
        Ok(levels)
    }

    /// Returns the segments of a dynamic large object, if it is certain that they belong to it.
    ///
    /// The manifest is never among them, even if its name begins with their prefix.
    ///
    /// # Errors
    ///
    /// [`StoreError::Large`] if other objects may share the prefix: it is empty, or a name continues with neither a
    /// slash nor a divider and a number.
    pub(crate) async fn dynamic_segments(
        &self,
        object: &Target,
        container: &str,
        prefix: &str,
    ) -> Result<Vec<Entry>> {
        let refused = |reason: String| StoreError::Large { target: object.to_string(), reason };
        if prefix.is_empty() {
            return Err(refused(format!("it consists of all that is in {container}")).into());
        }
        let mut segments = self.listings.names_under(container, prefix).await?;
        segments.retain(|segment| container != object.container || segment.name != object.name);
        match segments.iter().find(|segment| !is_segment(prefix, &segment.name)) {
            None => Ok(segments),
            Some(other) => {
                Err(refused(format!("{} may be a segment of it or something else", other.name)).into())
            }
        }
    }

    /// Returns the objects that nothing refers to after this object is replaced: its segments, if they are in this
    /// store's own container of segments.
    pub(crate) async fn segments_to_replace(&self, object: &Target) -> Result<Vec<Target>> {
        // If the container is missing, the PUT reports it.
        let request = Request::object(Method::HEAD, &object.container, &object.name);
        let response = self.containers.client.send(request).await?;
        if response.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        if !response.status.is_success() {
            return Err(rejected(response).await.into());
        }
        self.own_segments(object, &Shape::of(&response.headers)).await
    }

    /// Returns the manifest of a static large object. None for any other object, whose content isn't read.
    pub(crate) async fn static_manifest(&self, object: &Target) -> Result<Option<Vec<Segment>>> {
        match shape(&self.containers, object).await? {
            Some(Shape::Static) => self.manifest(object).await,
            _ => Ok(None),
        }
    }

    async fn own_segments(&self, object: &Target, shape: &Shape) -> Result<Vec<Target>> {
        match shape {
            Shape::Plain => Ok(Vec::new()),
            Shape::Static => {
                let manifest = self.manifest(object).await?.unwrap_or_default();
                let targets = self.levels(&manifest).await?.into_iter().flatten();
                Ok(targets.filter(|target| target.container == self.containers.segments).collect())
            }
            Shape::Dynamic { container, prefix } if *container == self.containers.segments => {
                let segments = self.dynamic_segments(object, container, prefix).await?;
                Ok(segments.into_iter().map(|segment| Target::new(container, segment.name)).collect())
            }
            Shape::Dynamic { .. } => Ok(Vec::new()),
        }
    }
}

fn targets(segments: &[Segment]) -> Vec<Target> {
    segments.iter().filter_map(Segment::target).collect()
}

/// Returns the manifests among the segments.
fn nested(segments: &[Segment]) -> Vec<Target> {
    segments.iter().filter(|segment| segment.nested).filter_map(Segment::target).collect()
}

fn changed(object: &Target) -> object_store::Error {
    let path = object.to_string();
    let source = StoreError::Changed { target: path.clone() }.into();
    object_store::Error::Precondition { path, source }
}
