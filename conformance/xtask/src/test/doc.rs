//! Runs the examples in the code's documentation with `cargo test --doc`.

use anyhow::Result;

use super::libtest::{Verdict, verdict};
use super::report::Report;
use super::run::follow;
use crate::build::cargo;

/// Runs them separately: together with the other tests, cargo would compile those marked `ignore`.
pub(crate) fn run(report: &Report) -> Result<()> {
    let mut any_failed = false;
    let mut test = cargo();
    test.args(["test", "--workspace", "--doc", "--locked", "--no-fail-fast"]);
    let (status, output) = follow(&mut test, |line| {
        if let Some((example, verdict)) = verdict(line) {
            any_failed |= verdict == Verdict::Failed;
            report.test(&format!("doc {example}"), verdict, None);
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
