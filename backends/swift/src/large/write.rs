use http::{HeaderMap, HeaderValue, Method, StatusCode, header as http_header};
use object_store::{PutPayload, Result};
use serde::Deserialize;

use super::{Place, Segment, manifest};
use crate::{
    StoreError,
    bulk::Target,
    client::{REPORT_LIMIT, Request, Response},
    object::{header, stored, unquoted},
    retry::{Failure, Outcome, Token, Tries, Verdict, classify},
    store::Store,
};

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

        match self.send_manifest(request, &e_tag).await {
            // Stored by a try whose answer was lost.
            Err(object_store::Error::AlreadyExists { .. }) if self.consists_of(target, segments).await? => {}
            outcome => outcome?,
        }
        Ok(e_tag)
    }

    /// Sends it until Swift has said what became of it. Its 202 is no answer: what breaks off or fails behind that
    /// is tried again here.
    async fn send_manifest(&self, request: Request, e_tag: &str) -> Result<()> {
        let mut tries = self.client.tries(&request);
        let mut tries_of_new = None;
        let mut token = Token::Renewable;
        loop {
            let mut is_refused = false;
            let failure = match Answer::of(self.send(request.clone()).await?).await {
                Ok(Answer::Status(response)) => return stored(response, e_tag).await,
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
                    match report.outcome(&request.target(), e_tag) {
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

    /// Makes the container that a proxy doesn't know of, the first time. Then it waits: a proxy that looked a moment too
    /// early remembers for some seconds that there was none.
    async fn await_container(
        &self,
        request: &Request,
        tries: &mut Option<Tries<StoreError>>,
        failure: StoreError,
    ) -> Result<()> {
        let Some(tries) = tries else {
            self.make_if_missing(&request.container, true, &request.trouble).await?;
            *tries = Some(self.tries_of_new(request));
            return Ok(());
        };
        if tries.again(Failure::retry(failure)).await.is_ok() {
            return Ok(());
        }
        Err(StoreError::MissingContainer { container: request.container.clone() }.into())
    }

    /// Swift asked for the segments with our token, which has ended: on a request of its own it says so by a 401, and
    /// the client gets another.
    async fn renew_token(&self, request: &Request) -> Result<()> {
        let head = Request::new(Method::HEAD, &request.container).within(&request.trouble);
        self.client.send(head).await?;
        Ok(())
    }

    /// Whether an object is made of just these segments. No two uploads have segments of one name.
    async fn consists_of(&self, object: &Target, segments: &[Segment]) -> Result<bool> {
        let manifest = self.manifest(object).await?.unwrap_or_default();
        Ok(manifest.iter().map(Segment::target).eq(segments.iter().map(Segment::target)))
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
}

impl Report {
    fn names_no_container(&self) -> bool {
        self.status.starts_with("404")
    }

    /// Whether Swift was refused something for the token's sake.
    fn names_refused_token(&self) -> bool {
        let statuses = self.errors.iter().map(|(_, status)| status);
        statuses.chain([&self.status]).any(|status| status.starts_with("401"))
    }

    fn failure(&self, target: &str) -> StoreError {
        let first = self.errors.first().map(|(path, error)| format!("; {path}: {error}"));
        let reason = format!("{} {}{}", self.status, self.body, first.unwrap_or_default());
        StoreError::Large { target: target.to_owned(), reason }
    }

    /// Whether the same manifest may do better later, or with another token: nothing else is in its way.
    fn verdict(&self, token: Token) -> Verdict {
        let of_segments = self.errors.iter().map(|(_, status)| verdict(status, token));
        match verdict(&self.status, token) {
            Verdict::Answer if self.status.starts_with("400") => {
                // Any that can't be helped decides, and then one whose token can.
                let weight = |verdict: &Verdict| match verdict {
                    Verdict::Answer | Verdict::Fail => 2,
                    Verdict::Renew => 1,
                    Verdict::Retry => 0,
                };
                of_segments.max_by_key(weight).unwrap_or(Verdict::Answer)
            }
            verdict => verdict,
        }
    }

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
            return Err(self.failure(&target).into());
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

/// Of a status with its reason, `503 Service Unavailable`. Other words are an answer.
fn verdict(status: &str, token: Token) -> Verdict {
    let code = status.split(' ').next().and_then(|code| code.parse().ok());
    code.map_or(Verdict::Answer, |code| classify(Outcome::Answered(code), token))
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

    #[test]
    fn only_an_outage_and_an_ended_token_are_worth_another_try() {
        let verdict = |token: Token, status: &str, errors: &[&str]| {
            let errors: Vec<_> = errors.iter().map(|status| format!(r#"["/c/1", "{status}"]"#)).collect();
            let json = format!(r#"{{"Response Status": "{status}", "Errors": [{}]}}"#, errors.join(","));
            serde_json::from_str::<Report>(&json).unwrap().verdict(token)
        };
        let (away, busy, ended) = ("503 Service Unavailable", "498 Rate Limited", "401 Unauthorized");
        for (token, of_ended) in [(Token::Renewable, Verdict::Renew), (Token::Renewed, Verdict::Retry)] {
            assert_eq!(verdict(token, away, &[]), Verdict::Retry);
            assert_eq!(verdict(token, "400 Bad Request", &[away, busy]), Verdict::Retry);
            assert_eq!(verdict(token, ended, &[]), of_ended);
            assert_eq!(verdict(token, "400 Bad Request", &[away, ended, busy]), of_ended);
            for lasting in ["404 Not Found", "Etag Mismatch"] {
                assert_eq!(verdict(token, "400 Bad Request", &[away, ended, lasting]), Verdict::Answer);
            }
            for status in ["400 Bad Request", "422 Unprocessable Entity", "201 Created"] {
                assert_eq!(verdict(token, status, &[]), Verdict::Answer);
            }
        }
    }
}
