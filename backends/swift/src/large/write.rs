use http::{HeaderMap, HeaderValue, Method, StatusCode, header as http_header};
use object_store::{PutPayload, Result};
use serde::Deserialize;

use super::{Place, Segment, manifest};
use crate::{
    StoreError,
    bulk::Target,
    client::{Request, Response},
    object::{header, stored, unquoted},
    store::Store,
};

/// No report on a manifest is longer.
const REPORT_LIMIT: usize = 16 << 20;

/// What Swift says of a manifest when it has looked at all its segments. HTTP's own status, which came before
/// that, says nothing.
#[derive(Debug, Deserialize)]
struct Report {
    #[serde(rename = "Response Status")]
    status: String,
    #[serde(rename = "Response Body", default)]
    body: String,
    #[serde(rename = "Etag", default)]
    e_tag: Option<String>,
    #[serde(rename = "Errors", default)]
    errors: Vec<(String, String)>,
}

impl Store {
    /// Makes a large object of segments. If they don't fit into one manifest, nested ones are stored first, where
    /// the segments lie. Gives the entity tag.
    pub(crate) async fn write_manifests(
        &self,
        target: &Target,
        place: &Place,
        mut segments: Vec<Segment>,
        headers: HeaderMap,
    ) -> Result<String> {
        let limits = self.client.info().await?.slo.ok_or_else(|| StoreError::Large {
            target: target.to_string(),
            reason: "this cluster offers no static large objects".to_owned(),
        })?;
        let longest = segments.iter().map(|segment| segment.name.len()).max().unwrap_or(0);
        // Nested manifests have names of the same kind as segments, and little longer.
        let capacity =
            manifest::capacity(limits.max_manifest_segments, limits.max_manifest_size, longest + 16);
        let mut level = 1;
        while segments.len() > capacity {
            let mut nested = Vec::with_capacity(segments.len().div_ceil(capacity));
            for (number, group) in segments.chunks(even(segments.len(), capacity)).enumerate() {
                let target = Target::new(&self.segments, place.manifest(level, number));
                let e_tag = self.write_manifest(&target, group, HeaderMap::new()).await?;
                let bytes = group.iter().map(Segment::length).sum();
                nested.push(Segment { name: target.path(), e_tag, bytes, range: None, nested: true });
            }
            segments = nested;
            level += 1;
        }
        self.write_manifest(target, &segments, headers).await
    }

    /// Stores one manifest, and gives its tag, which Swift has compared with those of the segments.
    async fn write_manifest(
        &self,
        target: &Target,
        segments: &[Segment],
        headers: HeaderMap,
    ) -> Result<String> {
        let e_tag = manifest::e_tag(segments);
        let named = target.to_string();
        let protocol = |reason: String| StoreError::Protocol { target: named.clone(), reason };
        let body = manifest::encode(segments).map_err(|error| protocol(error.to_string()))?;
        // The heartbeat keeps the connection alive while Swift looks at a thousand segments.
        let mut request = Request::object(Method::PUT, &target.container, &target.name)
            .query("multipart-manifest", "put")
            .query("heartbeat", "on")
            .body(PutPayload::from(body));
        request.headers = headers;
        let tag = HeaderValue::from_str(&e_tag).map_err(|error| protocol(error.to_string()))?;
        request.headers.insert(http_header::ETAG, tag);
        request.headers.insert(http_header::ACCEPT, HeaderValue::from_static("application/json"));

        let mut answer = Answer::of(self.send(request.clone()).await?).await?;
        if answer.names_no_container() {
            self.make_if_missing(&target.container, true).await?;
            answer = Answer::of(self.send(request).await?).await?;
        }
        match answer {
            Answer::Report(report) => report.outcome(&named, &e_tag)?,
            Answer::Status(response) => stored(response, &e_tag).await?,
        }
        Ok(e_tag)
    }
}

/// The answer to a manifest.
enum Answer {
    Report(Report),
    /// As to any PUT, from a cluster that knows no heartbeat or refuses at once.
    Status(Response),
}

impl Answer {
    async fn of(response: Response) -> Result<Self> {
        let is_json = header(&response.headers, "content-type").is_some_and(|kind| kind.contains("json"));
        if response.status != StatusCode::ACCEPTED || !is_json {
            return Ok(Self::Status(response));
        }
        let target = response.request.target.clone();
        let body = response.bytes(REPORT_LIMIT).await?;
        let report = serde_json::from_slice(&body)
            .map_err(|error| StoreError::Protocol { target, reason: error.to_string() })?;
        Ok(Self::Report(report))
    }

    fn names_no_container(&self) -> bool {
        matches!(self, Self::Report(report) if report.status.starts_with("404"))
    }
}

impl Report {
    fn outcome(&self, target: &str, e_tag: &str) -> Result<()> {
        let target = target.to_owned();
        if self.status.starts_with("412") {
            let source = self.status.clone().into();
            return Err(object_store::Error::AlreadyExists { path: target, source });
        }
        if self.status.starts_with("202") {
            return Err(StoreError::NotStored { target }.into());
        }
        if !self.status.starts_with("201") || !self.errors.is_empty() {
            let first = self.errors.first().map(|(path, error)| format!("; {path}: {error}"));
            let reason = format!("{} {}{}", self.status, self.body, first.unwrap_or_default());
            return Err(StoreError::Large { target, reason }.into());
        }
        match self.e_tag.as_deref().map(unquoted) {
            Some(found) if found != e_tag => {
                Err(StoreError::Damaged { target, expected: e_tag.to_owned(), found: found.to_owned() }
                    .into())
            }
            _ => Ok(()),
        }
    }
}

/// The size of groups, at most `capacity`, that are as even as can be.
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

    #[test]
    fn a_report_is_success_only_with_201_the_tag_and_no_errors() {
        let outcome = |json: &str| serde_json::from_str::<Report>(json).unwrap().outcome("c/o", "aa");
        assert!(outcome(r#"{"Response Status": "201 Created", "Etag": "\"aa\"", "Errors": []}"#).is_ok());
        assert!(outcome(r#"{"Response Status": "201 Created", "Etag": "bb", "Errors": []}"#).is_err());
        let gone =
            outcome(r#"{"Response Status": "400 Bad Request", "Errors": [["/c/1", "404 Not Found"]]}"#);
        assert!(gone.unwrap_err().to_string().contains("/c/1: 404 Not Found"));
        let exists = outcome(r#"{"Response Status": "412 Precondition Failed", "Errors": []}"#);
        assert!(matches!(exists, Err(object_store::Error::AlreadyExists { .. })));
    }
}
