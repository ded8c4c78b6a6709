//! The body of a bulk deletion, and Swift's report on it.

use std::{collections::HashSet, fmt::Write};

use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use crate::{client::PATH, target::Target};

/// The report on a bulk deletion. The status of the response says nothing about the objects.
#[derive(Debug, Deserialize)]
pub(super) struct Report {
    /// Path, percent-encoded, and status.
    #[serde(rename = "Errors", default)]
    errors: Vec<(String, String)>,
    #[serde(rename = "Number Deleted", default)]
    deleted: usize,
    #[serde(rename = "Number Not Found", default)]
    absent: usize,
    /// The status of the whole deletion.
    #[serde(rename = "Response Status", default)]
    status: String,
}

impl Report {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Returns what went wrong; None if everything was deleted or missing.
    pub(super) fn failure(&self) -> Option<String> {
        let first = self.errors.first().map(|(path, error)| format!("{path}: {error}"));
        let is_success = self.status.starts_with("200") || self.status.starts_with("404");
        first.or_else(|| {
            (!is_success).then(|| format!("its deletion was answered '{}'", self.status.escape_debug()))
        })
    }

    /// Whether nothing was done since the object isn't a large one, or doesn't exist.
    pub(super) fn refuses_only(&self, object: &Target) -> bool {
        let is_refusal = |(path, status): &(String, String)| {
            decode(path) == object.to_string() && status.starts_with("400")
        };
        self.deleted == 0 && !self.errors.is_empty() && self.errors.iter().all(is_refusal)
    }

    /// Returns which of the objects were certainly deleted. Swift gives up after many failures and doesn't say where,
    /// so a report that doesn't account for every object proves nothing about any.
    pub(super) fn gone(&self, targets: &[Target]) -> Vec<bool> {
        if self.deleted + self.absent + self.errors.len() != targets.len() {
            return vec![false; targets.len()];
        }
        let failed: HashSet<_> = self.errors.iter().map(|(path, _)| decode(path)).collect();
        targets.iter().map(|target| !failed.contains(&target.to_string())).collect()
    }
}

/// Returns the container and the object of a path in a report.
fn decode(path: &str) -> String {
    percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy().into_owned()
}

/// The body of the request: one path on each line.
pub(super) fn lines(targets: &[Target]) -> String {
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
    fn the_deletion_of_what_is_no_large_object_is_told_from_a_failure() {
        let report = |deleted: usize, path: &str, status: &str| {
            let json = format!(
                r#"{{"Response Status": "400 Bad Request", "Number Deleted": {deleted}, "Errors": [["{path}", "{status}"]]}}"#
            );
            Report::parse(json.as_bytes()).unwrap()
        };
        let refuses = |report: Report| report.refuses_only(&Target::new("c", "a b"));
        assert!(refuses(report(0, "c/a%20b", "400 Bad Request")));
        assert!(!refuses(report(0, "c/a%20b", "403 Forbidden")));
        assert!(!refuses(report(1, "c/a%20b", "400 Bad Request")));
        let failed = report(1, "c_segments/a%20b/1", "403 Forbidden");
        assert_eq!(failed.failure().unwrap(), "c_segments/a%20b/1: 403 Forbidden");
        let done =
            r#"{"Response Status": "200 OK", "Number Deleted": 3, "Number Not Found": 0, "Errors": []}"#;
        assert_eq!(Report::parse(done.as_bytes()).unwrap().failure(), None);
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
