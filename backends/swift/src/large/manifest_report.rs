//! Swift's report on a manifest, which follows the status 202.

use http::StatusCode;
use object_store::Result;
use serde::Deserialize;

use crate::{
    client::{REPORT_LIMIT, Response},
    error::StoreError,
    object::{header, unquoted},
    retry::{Outcome, Token, Verdict, classify},
};

/// The outcome for a manifest, after Swift has checked all its segments. The status of the response was sent earlier
/// and says nothing.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    #[serde(rename = "Response Status")]
    status: String,
    #[serde(rename = "Response Body", default)]
    body: String,
    #[serde(rename = "Etag", default)]
    e_tag: Option<String>,
    #[serde(rename = "Errors", default)]
    errors: Vec<(String, String)>,
}

/// The response to a manifest.
pub(super) enum Answer {
    Report(Report),
    /// A status as for any PUT, from a cluster without heartbeat or one that refuses at once.
    Status(Response),
}

impl Answer {
    pub(super) async fn of(response: Response) -> Result<Self> {
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
    pub(super) fn names_no_container(&self) -> bool {
        self.status.starts_with("404")
    }

    /// Whether a refused token is among the errors.
    pub(super) fn names_refused_token(&self) -> bool {
        let statuses = self.errors.iter().map(|(_, status)| status);
        statuses.chain([&self.status]).any(|status| status.starts_with("401"))
    }

    pub(super) fn failure(&self, target: &str) -> StoreError {
        let first = self.errors.first().map(|(path, error)| format!("; {path}: {error}"));
        let reason = format!("{} {}{}", self.status, self.body, first.unwrap_or_default());
        StoreError::Large { target: target.to_owned(), reason }
    }

    /// Judges whether the same manifest may succeed later or with another token. It may if nothing else is wrong.
    pub(super) fn verdict(&self, token: Token) -> Verdict {
        let of_segments = self.errors.iter().map(|(_, status)| verdict(status, token));
        match verdict(&self.status, token) {
            Verdict::Answer if self.status.starts_with("400") => {
                // One permanent error decides; otherwise one that another token solves.
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

    pub(super) fn outcome(&self, target: &str, e_tag: &str) -> Result<()> {
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
            Some(found) if found == e_tag => Ok(()),
            found => Err(StoreError::Damaged {
                target,
                expected: e_tag.to_owned(),
                found: found.unwrap_or("unknown").to_owned(),
            }
            .into()),
        }
    }
}

/// Judges a status with its reason, such as `503 Service Unavailable`. Any other text is an answer.
fn verdict(status: &str, token: Token) -> Verdict {
    let code = status.split(' ').next().and_then(|code| code.parse().ok());
    code.map_or(Verdict::Answer, |code| classify(Outcome::Answered(code), token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_success_only_with_201_the_tag_and_no_errors() {
        let outcome = |json: &str| serde_json::from_str::<Report>(json).unwrap().outcome("c/o", "aa");
        assert!(outcome(r#"{"Response Status": "201 Created", "Etag": "\"aa\"", "Errors": []}"#).is_ok());
        assert!(outcome(r#"{"Response Status": "201 Created", "Etag": "bb", "Errors": []}"#).is_err());
        assert!(outcome(r#"{"Response Status": "201 Created", "Errors": []}"#).is_err());
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
