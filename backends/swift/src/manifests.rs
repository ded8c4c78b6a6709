//! What large objects consist of: reads the manifests of static ones, and lists the segments of dynamic ones.

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

/// The longest manifest that is read, whatever a cluster allows.
const MANIFEST_LIMIT: usize = 64 << 20;

/// Reads what large objects consist of.
#[derive(Clone, Debug)]
pub(crate) struct Manifests {
    containers: Arc<Containers>,
    listings: Listings,
}

impl Manifests {
    pub(crate) fn new(containers: &Arc<Containers>, listings: &Listings) -> Self {
        Self { containers: Arc::clone(containers), listings: listings.clone() }
    }

    /// The segments a static large object names, its nested manifests unopened. None: there is no such object,
    /// or it is no static large one.
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

    /// The segments that the static large object of this tag consists of, in their order, and none of them a large
    /// object itself. None: it has ranges of large objects for segments.
    ///
    /// # Errors
    ///
    /// Precondition, if the object isn't the one of this tag any more, or a nested manifest not the one it names.
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

    /// All that a manifest names, and what nested manifests name, level by level: no manifest is before the level
    /// of what it names. A nested manifest that is gone names nothing.
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

    /// The segments of a dynamic large object, of which it is certain that they are its own.
    ///
    /// The manifest is never one of them, though it may begin as they do.
    ///
    /// # Errors
    ///
    /// [`StoreError::Large`] if its prefix begins names that may belong to something else: nothing, or a name
    /// that goes on with neither a slash nor a number behind a divider.
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

    /// What will be named by nothing any more once this object is replaced: the segments it has, as far as they
    /// lie in this store's own container for them.
    pub(crate) async fn segments_to_replace(&self, object: &Target) -> Result<Vec<Target>> {
        // A missing container is the PUT's business.
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

    /// The manifest of an object that is a static large one, and None for any other, whose content isn't read.
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

/// The manifests among the segments.
fn nested(segments: &[Segment]) -> Vec<Target> {
    segments.iter().filter(|segment| segment.nested).filter_map(Segment::target).collect()
}

fn changed(object: &Target) -> object_store::Error {
    let path = object.to_string();
    let source = StoreError::Changed { target: path.clone() }.into();
    object_store::Error::Precondition { path, source }
}
