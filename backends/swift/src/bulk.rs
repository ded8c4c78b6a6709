mod outage;

use std::{
    collections::HashSet,
    fmt::{self, Write},
};

use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, Buffered},
};
use http::{HeaderValue, Method, StatusCode, header};
use object_store::Result;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

pub(crate) use self::outage::{Outage, is_outage};
use crate::{
    client::{Info, PATH, REPORT_LIMIT, Request, rejected},
    store::Store,
};

/// Requests in flight where each object takes one of its own.
pub(crate) const AT_ONCE: usize = 8;

/// The results of these, in their order, of which a few are on their way at a time.
pub(crate) fn at_once<'a, T>(
    futures: impl Iterator<Item = BoxFuture<'a, T>>,
) -> Buffered<stream::Iter<std::vec::IntoIter<BoxFuture<'a, T>>>> {
    stream::iter(futures.collect::<Vec<_>>()).buffered(AT_ONCE)
}

/// One object, plainly: a manifest is deleted without its segments.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Target {
    pub(crate) container: String,
    pub(crate) name: String,
}

impl Target {
    pub(crate) fn new(container: impl Into<String>, name: impl Into<String>) -> Self {
        Self { container: container.into(), name: name.into() }
    }

    /// As manifests name it.
    pub(crate) fn path(&self) -> String {
        format!("/{self}")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.name)
    }
}

/// What Swift says of a deletion of many objects. HTTP's own status says nothing of it.
#[derive(Debug, Deserialize)]
struct Report {
    /// Path, encoded, and status.
    #[serde(rename = "Errors", default)]
    errors: Vec<(String, String)>,
    #[serde(rename = "Number Deleted", default)]
    deleted: usize,
    #[serde(rename = "Number Not Found", default)]
    absent: usize,
}

impl Report {
    fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Which of the objects that were to be deleted are gone for certain. Swift gives up after many failures and
    /// doesn't say where, so a report that doesn't account for each of them is believed about none.
    fn gone(&self, targets: &[Target]) -> Vec<bool> {
        if self.deleted + self.absent + self.errors.len() != targets.len() {
            return vec![false; targets.len()];
        }
        let decode =
            |path: &str| percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let failed: HashSet<_> = self.errors.iter().map(|(path, _)| decode(path)).collect();
        targets.iter().map(|target| !failed.contains(&target.to_string())).collect()
    }
}

impl Store {
    /// Deletes objects, and says of each, in their order, whether it is gone. One that was absent is.
    ///
    /// Many go by bulk deletion where the cluster offers it; what that fails to delete is tried once more by
    /// itself, which also gives a failure its reason.
    pub(crate) async fn delete_all(&self, targets: &[Target]) -> Vec<Result<()>> {
        let outage = Outage::default();
        let gone = self.bulk_delete_all(targets, &outage).await;
        let singly = targets.iter().zip(gone).map(|(target, gone)| {
            let outage = &outage;
            async move { if gone { Ok(()) } else { outage.or(target, self.delete_one(target)).await } }
                .boxed()
        });
        at_once(singly).collect().await
    }

    /// Which of them are gone for certain.
    async fn bulk_delete_all(&self, targets: &[Target], outage: &Outage) -> Vec<bool> {
        if targets.len() > 1
            && let Ok(Info { bulk_delete: Some(limits), .. }) = self.client.info().await
        {
            let mut gone = Vec::with_capacity(targets.len());
            for targets in targets.chunks(limits.max_deletes_per_request.max(1)) {
                let report = outage.or(&targets[0], self.bulk_delete(targets)).await.ok().flatten();
                gone.extend(report.map_or_else(|| vec![false; targets.len()], |report| report.gone(targets)));
            }
            return gone;
        }
        vec![false; targets.len()]
    }

    /// None: it was refused, or nothing is known of what it did.
    async fn bulk_delete(&self, targets: &[Target]) -> Result<Option<Report>> {
        let request = Request::new(Method::POST, "")
            .query("bulk-delete", "")
            .header(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"))
            .header(header::ACCEPT, HeaderValue::from_static("application/json"))
            .body(lines(targets).into());
        let response = self.client.send(request).await?;
        if response.status != StatusCode::OK {
            return Ok(None);
        }
        Ok(response.bytes(REPORT_LIMIT).await.ok().and_then(|body| Report::parse(&body)))
    }

    pub(crate) async fn delete_one(&self, target: &Target) -> Result<()> {
        let request = Request::object(Method::DELETE, &target.container, &target.name);
        let response = self.client.send(request).await?;
        if response.status.is_success() || response.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        Err(rejected(response).await.into())
    }

    /// Deletes what nothing names any more. What can't be deleted now is left for a sweep, so that is no error
    /// of the operation that is over.
    pub(crate) async fn remove_quietly(&self, targets: Vec<Target>) {
        let results = self.delete_all(&targets).await;
        let failed = results.iter().filter(|result| result.is_err()).count();
        if let Some(Err(error)) = results.iter().find(|result| result.is_err()) {
            tracing::warn!(failed, of = targets.len(), %error, "segments are left behind, for a sweep to remove");
        }
    }
}

/// The body of the request: a path a line.
fn lines(targets: &[Target]) -> String {
    targets.iter().fold(String::new(), |mut lines, target| {
        let path = |text| utf8_percent_encode(text, PATH);
        // Writing to a string can't fail.
        let _ = writeln!(lines, "/{}/{}", path(&target.container), path(&target.name));
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(report: &str) -> Vec<bool> {
        let targets = [Target::new("c", "a"), Target::new("c", "a b")];
        Report::parse(report.as_bytes()).unwrap().gone(&targets)
    }

    #[test]
    fn a_path_a_line_is_sent_encoded() {
        let targets = [Target::new("c", "I'm a < & weird\npath"), Target::new("c", "a/😀")];
        assert_eq!(lines(&targets), "/c/I%27m%20a%20%3C%20%26%20weird%0Apath\n/c/a/%F0%9F%98%80\n");
    }

    #[test]
    fn an_object_is_gone_unless_the_report_names_it() {
        let report = r#"{"Response Status": "400 Bad Request", "Number Deleted": 1, "Number Not Found": 0,
                         "Errors": [["/c/a%20b", "409 Conflict"]]}"#;
        assert_eq!(gone(report), [true, false]);
        let absent = r#"{"Response Status": "200 OK", "Number Deleted": 1, "Number Not Found": 1}"#;
        assert_eq!(gone(absent), [true, true]);
    }

    #[test]
    fn a_report_that_does_not_account_for_all_is_believed_about_none() {
        let gave_up = r#"{"Response Status": "400 Bad Request", "Response Body": "Max delete failures exceeded",
                          "Number Deleted": 0, "Errors": [["/c/a%20b", "409 Conflict"]]}"#;
        let failed = r#"{"Response Status": "502 Bad Gateway", "Response Body": "", "Errors": []}"#;
        for report in [gave_up, failed, "{}"] {
            assert_eq!(gone(report), [false, false]);
        }
    }
}
