//! The parts of large objects: reads the manifests of static ones, and lists the segments of dynamic ones.
//!
//! Some servers don't return manifests: then [`Manifest::Unreadable`] says that there is one, and only a listing can
//! show which segments it names ([`Manifests::uploads_of`]).

mod dynamic;
mod nested;
mod proof;
mod replaced;
mod segment;

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use object_store::Result;

pub(crate) use self::{
    proof::has_in_order,
    segment::{Segment, e_tag, encode},
};
use crate::{
    client::{Request, Response, rejected},
    containers::Containers,
    dialect::Server,
    error::StoreError,
    listing::Listings,
    object::{Shape, head, header, unquoted},
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
}

fn targets(segments: &[Segment]) -> Vec<Target> {
    segments.iter().filter_map(Segment::target).collect()
}

/// The error of an object that no longer has the expected tag.
pub(crate) fn changed(object: &Target) -> object_store::Error {
    let path = object.to_string();
    let source = StoreError::Changed { target: path.clone() }.into();
    object_store::Error::Precondition { path, source }
}
