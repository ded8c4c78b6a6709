//! Writes the manifests of large objects, as nested ones if one can't name all segments.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header as http_header};
use object_store::{PutPayload, Result};

use super::{SegmentNames, manifest_limits::ManifestLimits, manifest_report::Answer};
use crate::{
    client::Request,
    containers::Containers,
    error::StoreError,
    manifests::{self, Manifest, Manifests, Segment},
    object::{Content, stored},
    retry::{Failure, Token, Tries, Verdict},
    target::Target,
};

/// Writes manifests.
#[derive(Clone, Debug)]
pub(super) struct ManifestWriter {
    containers: Arc<Containers>,
    manifests: Manifests,
}

impl ManifestWriter {
    pub(super) fn new(containers: &Arc<Containers>, manifests: &Manifests) -> Self {
        Self { containers: Arc::clone(containers), manifests: manifests.clone() }
    }

    /// Creates a large object from segments, and returns the entity tag. If the segments don't fit into one manifest,
    /// nested manifests are stored first, beside the segments.
    pub(super) async fn write_manifests(
        &self,
        target: &Target,
        place: &SegmentNames,
        mut segments: Vec<Segment>,
        headers: HeaderMap,
    ) -> Result<String> {
        let info = self.containers.client.info().await?;
        let limits = ManifestLimits::of(&self.containers, &target.to_string(), &info)?;
        limits.check(&target.to_string(), segments.len(), longest_name(&segments))?;
        let mut level = 1;
        while segments.len() > limits.capacity(longest_name(&segments)) {
            let capacity = limits.capacity(longest_name(&segments));
            if capacity < 2 {
                let reason = "the cluster's manifests are too small to name its own manifests".to_owned();
                return Err(StoreError::Upload { target: target.to_string(), reason }.into());
            }
            let mut nested = Vec::with_capacity(segments.len().div_ceil(capacity));
            for (number, group) in segments.chunks(even(segments.len(), capacity)).enumerate() {
                let target = Target::new(&self.containers.segments, place.manifest(level, number));
                let e_tag = self.write_manifest(&target, group, HeaderMap::new()).await?;
                let bytes = group.iter().map(Segment::length).sum();
                nested.push(Segment { name: target.path(), e_tag, bytes, range: None, nested: true });
            }
            segments = nested;
            level += 1;
        }
        self.write_manifest(target, &segments, headers).await
    }

    /// Stores one manifest, and returns its tag, which is compared with the one in the answer. It isn't sent: radosgw
    /// compares what is sent with the MD5 of nothing.
    async fn write_manifest(
        &self,
        target: &Target,
        segments: &[Segment],
        headers: HeaderMap,
    ) -> Result<String> {
        let e_tag = manifests::e_tag(segments);
        let named = target.to_string();
        let protocol = |reason: String| StoreError::Protocol { target: named.clone(), reason };
        let body = manifests::encode(segments).map_err(|error| protocol(error.to_string()))?;
        // The heartbeat keeps the connection alive while Swift checks up to a thousand segments.
        let mut request = Request::object(Method::PUT, &target.container, &target.name)
            .query("multipart-manifest", "put")
            .query("heartbeat", "on")
            .body(PutPayload::from(body));
        request.headers = headers;
        request.headers.insert(http_header::ACCEPT, HeaderValue::from_static("application/json"));

        let bytes = segments.iter().map(Segment::length).sum();
        let content = Content { e_tag: &e_tag, bytes: Some(bytes), is_checked: false };
        match self.send_manifest(request, target, content).await {
            // An earlier try stored it, although its response was lost.
            Err(object_store::Error::AlreadyExists { .. }) if self.consists_of(target, segments).await? => {}
            outcome => outcome?,
        }
        Ok(e_tag)
    }

    /// Sends the manifest until Swift has reported the outcome. The status 202 says nothing: a body that breaks off or
    /// reports a failure is retried here.
    async fn send_manifest(&self, request: Request, target: &Target, content: Content<'_>) -> Result<()> {
        let mut tries = self.containers.client.tries(&request);
        let mut tries_of_new = None;
        let mut token = Token::Renewable;
        loop {
            let mut is_refused = false;
            let failure = match Answer::of(self.containers.send(request.clone()).await?).await {
                Ok(Answer::Status(response)) => {
                    return stored(&self.containers, target, response, content).await;
                }
                Ok(Answer::Report(report)) if report.names_no_container() => {
                    self.await_container(&request, &mut tries_of_new, report.failure(&request.target()))
                        .await?;
                    continue;
                }
                Ok(Answer::Report(report)) => {
                    let verdict = report.verdict(token);
                    if verdict == Verdict::Renew {
                        self.renew_token(&request).await?;
                        token = Token::Renewed;
                        continue;
                    }
                    is_refused = report.names_refused_token();
                    match report.outcome(&request.target(), content.e_tag) {
                        Err(failure) if verdict == Verdict::Retry => failure,
                        outcome => return outcome,
                    }
                }
                Err(failure) => failure,
            };
            tries.again(Failure::retry(failure)).await?;
            if is_refused {
                self.renew_token(&request).await?;
            }
        }
    }

    /// Creates the container that a proxy reports as missing, on the first call. On later calls it waits: the proxy may
    /// have cached for some seconds that the container is missing.
    async fn await_container(
        &self,
        request: &Request,
        tries: &mut Option<Tries<StoreError>>,
        failure: StoreError,
    ) -> Result<()> {
        let Some(tries) = tries else {
            self.containers.make_if_missing(&request.container, true, &request.trouble).await?;
            *tries = Some(self.containers.tries_of_new(request));
            return Ok(());
        };
        if tries.again(Failure::retry(failure)).await.is_ok() {
            return Ok(());
        }
        Err(StoreError::MissingContainer { container: request.container.clone() }.into())
    }

    /// Renews the token. Swift has requested the segments with ours, which has expired. The client gets another when
    /// Swift answers its own request with 401.
    async fn renew_token(&self, request: &Request) -> Result<()> {
        let head = Request::new(Method::HEAD, &request.container).within(&request.trouble);
        self.containers.client.send(head).await?;
        Ok(())
    }

    /// Whether an object consists of exactly these segments. No two uploads have segments of one name.
    async fn consists_of(&self, object: &Target, segments: &[Segment]) -> Result<bool> {
        let Manifest::Segments(found) = self.manifests.manifest(object).await? else { return Ok(false) };
        Ok(found.iter().map(Segment::target).eq(segments.iter().map(Segment::target)))
    }
}

/// The length of the longest name, in bytes.
fn longest_name(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.name.len()).max().unwrap_or(0)
}

/// The number of segments in each group, at most `capacity`, so that the groups have nearly equal sizes.
fn even(segments: usize, capacity: usize) -> usize {
    segments.div_ceil(segments.div_ceil(capacity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_even_and_none_is_too_large() {
        assert_eq!(even(1001, 1000), 501);
        assert_eq!(even(2000, 1000), 1000);
        for (segments, capacity) in [(7, 2), (999, 10), (10_001, 1000)] {
            let groups: Vec<_> =
                vec![(); segments].chunks(even(segments, capacity)).map(<[_]>::len).collect();
            assert!(groups.iter().all(|group| *group <= capacity), "{groups:?}");
            assert_eq!(groups.len(), segments.div_ceil(capacity));
        }
    }
}
