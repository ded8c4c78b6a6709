//! The parts of large objects: reads the manifests of static ones, and lists the segments of dynamic ones.
//!
//! Some servers don't return manifests: then [`Manifest::Unreadable`] says that there is one, and only a listing can
//! show which segments it names ([`Manifests::uploads_of`]).

mod dynamic;
mod proof;
mod segment;

use std::sync::Arc;

use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use http::{HeaderMap, Method, StatusCode};
use object_store::Result;

use self::dynamic::is_segment;
pub(crate) use self::{
    proof::has_in_order,
    segment::{Segment, e_tag, encode},
};
use crate::{
    client::{Request, Response, rejected},
    concurrency::at_once,
    containers::Containers,
    dialect::Server,
    error::StoreError,
    listing::{Entry, Listings},
    object::{Shape, head, head_unproven, header, unquoted},
    target::Target,
};

/// The longest manifest that is read, whatever the cluster's limit is.
const MANIFEST_LIMIT: usize = 64 << 20;

/// The manifest of a static large object, or why there is none.
#[derive(Clone, Debug)]
pub(crate) enum Manifest {
    /// There is no such object.
    Absent,
    /// It isn't a static large object.
    Other,
    /// The segments that it names, some of which may be large objects themselves.
    Segments(Vec<Segment>),
    /// It is a static large object with this tag, but the server doesn't tell which segments it names. All of them may
    /// be in use.
    Unreadable { e_tag: String },
}

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

    /// Reads the manifest of an object that is probably a static large object: the content of any other is requested.
    /// Nested manifests aren't opened.
    pub(crate) async fn manifest(&self, target: &Target) -> Result<Manifest> {
        if self.containers.client.dialect().returns_manifests() == Some(false) {
            return self.unreadable(target).await;
        }
        let request =
            Request::object(Method::GET, &target.container, &target.name).query("multipart-manifest", "get");
        let response = self.containers.client.send(request.clone()).await?;
        match response.status {
            StatusCode::OK if Shape::of(&response.headers) == Shape::Static => {
                self.segments(target, &request, response).await
            }
            // Swift says that this is a manifest.
            StatusCode::OK if Server::of(&response.headers) == Some(Server::Swift) => Ok(Manifest::Other),
            // radosgw answers so for one that it doesn't return, whatever a proxy does with the length.
            StatusCode::OK => self.unreadable(target).await,
            StatusCode::NOT_FOUND => Ok(Manifest::Absent),
            _ => Err(rejected(response).await.into()),
        }
    }

    async fn segments(&self, target: &Target, request: &Request, response: Response) -> Result<Manifest> {
        let body = self.containers.whole(request, response, MANIFEST_LIMIT).await?;
        let parsed = if body.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice(&body) };
        let mut segments: Vec<Segment> = parsed.map_err(|error| StoreError::Large {
            target: target.to_string(),
            reason: format!("its manifest can't be read: {error}"),
        })?;
        // No large object has no segments.
        if segments.is_empty() {
            return self.unreadable(target).await;
        }
        for segment in &mut segments {
            segment.e_tag = unquoted(&segment.e_tag).to_owned();
        }
        self.containers.client.dialect().learn_returns_manifests(true);
        Ok(Manifest::Segments(segments))
    }

    /// Asks what an object is whose manifest the server doesn't return.
    async fn unreadable(&self, target: &Target) -> Result<Manifest> {
        match head(&self.containers, target).await? {
            None => Ok(Manifest::Absent),
            Some(headers) => Ok(self.unreadable_with(&headers)),
        }
    }

    /// Judges the headers of an object whose manifest the server doesn't return.
    fn unreadable_with(&self, headers: &HeaderMap) -> Manifest {
        if Shape::of(headers) != Shape::Static {
            return Manifest::Other;
        }
        self.containers.client.dialect().learn_returns_manifests(false);
        Manifest::Unreadable { e_tag: header(headers, "etag").map(unquoted).unwrap_or_default().to_owned() }
    }

    /// Reads the manifest of an object if it is a static large object. The content of any other isn't read.
    pub(crate) async fn static_manifest(&self, object: &Target) -> Result<Manifest> {
        match head(&self.containers, object).await? {
            None => Ok(Manifest::Absent),
            Some(headers) => self.manifest_with(object, &headers).await,
        }
    }

    /// As [`static_manifest`](Self::static_manifest), for a caller that has requested the headers of the object.
    async fn manifest_with(&self, object: &Target, headers: &HeaderMap) -> Result<Manifest> {
        if Shape::of(headers) != Shape::Static {
            return Ok(Manifest::Other);
        }
        match self.containers.client.dialect().returns_manifests() {
            Some(false) => Ok(self.unreadable_with(headers)),
            _ => self.manifest(object).await,
        }
    }

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

    /// Returns segments with the content of the object with this tag, if a listing proves that.
    async fn proven(&self, object: &Target, tag: &str) -> Result<Option<Vec<Segment>>> {
        Ok(self.uploads_of(object, tag).await?.into_iter().next())
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

    /// Returns the segments of an object with this tag whose manifest can't be read. None unless a single upload has its
    /// content.
    pub(crate) async fn only_upload_of(&self, object: &Target, tag: &str) -> Result<Option<Vec<Target>>> {
        match &self.uploads_of(object, tag).await?[..] {
            [upload] => Ok(Some(targets(upload))),
            _ => Ok(None),
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

/// The error of an operation that needs a manifest which the server doesn't return.
fn unreadable(object: &Target) -> StoreError {
    let reason = "the server doesn't return its manifest".to_owned();
    StoreError::Large { target: object.to_string(), reason }
}

/// The error of an object that no longer has the expected tag.
pub(crate) fn changed(object: &Target) -> object_store::Error {
    let path = object.to_string();
    let source = StoreError::Changed { target: path.clone() }.into();
    object_store::Error::Precondition { path, source }
}
