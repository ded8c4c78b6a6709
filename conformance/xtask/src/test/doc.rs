//! Runs the examples in the code's documentation with `cargo test --doc`.

use anyhow::Result;

use super::libtest::{TestResult, test_result};
use super::report::Report;
use super::run::follow;
use crate::build::cargo;

/// Runs them separately: together with the other tests, cargo would compile those marked `ignore`.
pub(crate) fn run(report: &Report) -> Result<()> {
    let mut any_failed = false;
    let mut test = cargo();
    test.args(["test", "--workspace", "--doc", "--locked", "--no-fail-fast"]);
    let (status, output) = follow(&mut test, |line| {
        if let Some((example, result)) = test_result(line) {
            any_failed |= result == TestResult::Failed;
            report.test(&format!("doc {example}"), result, None);
        }
    })?;
    if !status.success() {
        report.output("cargo test --doc", &output);
        if !any_failed {
            report.failed(&format!("cargo test --doc ended with {status}"));
        }
    }
    Ok(())
}
