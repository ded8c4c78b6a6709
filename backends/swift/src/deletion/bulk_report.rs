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
}

impl Report {
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Returns which of the objects were certainly deleted. Swift gives up after many failures and doesn't say where,
    /// so a report that doesn't account for every object proves nothing about any.
    pub(super) fn gone(&self, targets: &[Target]) -> Vec<bool> {
        if self.deleted + self.absent + self.errors.len() != targets.len() {
            return vec![false; targets.len()];
        }
        let decode =
            |path: &str| percent_decode_str(path.trim_start_matches('/')).decode_utf8_lossy().into_owned();
        let failed: HashSet<_> = self.errors.iter().map(|(path, _)| decode(path)).collect();
        targets.iter().map(|target| !failed.contains(&target.to_string())).collect()
    }
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
    fn a_report_that_does_not_account_for_all_is_believed_about_none() {
        let gave_up = r#"{"Response Status": "400 Bad Request", "Response Body": "Max delete failures exceeded",
                          "Number Deleted": 0, "Errors": [["/c/a%20b", "409 Conflict"]]}"#;
        let failed = r#"{"Response Status": "502 Bad Gateway", "Response Body": "", "Errors": []}"#;
        for report in [gave_up, failed, "{}"] {
            assert_eq!(gone(report), [false, false]);
        }
    }
}
