//! Prints the results of tests as they end, and a summary.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::libtest::{TestResult, test_result};
use super::phases::seconds;

/// How many of the slowest tests are listed.
const SLOWEST: usize = 10;

/// Collects the results of binaries that run at the same time.
#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Tests>);

#[derive(Debug, Default)]
struct Tests {
    passed: usize,
    skipped: usize,
    left_out: usize,
    /// Why tests were skipped.
    reasons: BTreeSet<String>,
    failed: Vec<String>,
    times: Vec<(Duration, String)>,
}

impl Report {
    /// Prints and counts a test that has ended. Its duration isn't always known.
    pub(crate) fn test(&self, name: &str, result: TestResult, took: Option<Duration>) {
        let mut tests = self.tests();
        let word = match result {
            TestResult::Passed => "ok",
            TestResult::Failed => "FAILED",
            TestResult::Skipped => "skipped",
        };
        println!("{word:<8}{}  {name}", took.map_or(" ".repeat(9), seconds));
        match result {
            TestResult::Passed => tests.passed += 1,
            TestResult::Failed => tests.failed.push(name.to_owned()),
            TestResult::Skipped => tests.skipped += 1,
        }
        tests.times.extend(took.map(|took| (took, name.to_owned())));
    }

    /// Prints and counts a test that can't run here. The reason is printed once, in the conclusion.
    pub(crate) fn skipped(&self, name: &str, reason: &str) {
        self.test(name, TestResult::Skipped, None);
        self.tests().reasons.insert(reason.to_owned());
    }

    /// Prints the output of a binary with failed tests, without the tests that passed.
    pub(crate) fn output(&self, name: &str, output: &str) {
        let _one_at_a_time = self.tests();
        let passed = |line: &&str| test_result(line).is_some_and(|(_, result)| result == TestResult::Passed);
        let lines: Vec<&str> = output.lines().filter(|line| !passed(line)).collect();
        println!("\n==== what {name} printed:\n{}\n====\n", lines.join("\n"));
    }

    /// Counts a failure that isn't a test's: a crashed binary, or servers that didn't start.
    pub(crate) fn failed(&self, what: &str) {
        println!("FAILED  {what}");
        self.tests().failed.push(what.to_owned());
    }

    /// Counts tests that are run only if it is asked for.
    pub(crate) fn left_out(&self, count: usize) {
        self.tests().left_out += count;
    }

    /// Prints the slowest tests, the failed ones and the numbers. Returns the exit code of the run.
    pub(crate) fn conclude(&self) -> ExitCode {
        print!("{}", self.conclusion());
        if self.tests().failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Returns what [`Self::conclude`] prints.
    pub(crate) fn conclusion(&self) -> String {
        self.tests().conclusion()
    }

    fn tests(&self) -> MutexGuard<'_, Tests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tests {
    fn conclusion(&self) -> String {
        let mut times = self.times.clone();
        times.sort_unstable_by(|one, other| other.cmp(one));
        let slowest = times.iter().take(SLOWEST).map(|(took, name)| format!("{}  {name}\n", seconds(*took)));
        let failed = self.failed.iter().map(|name| format!("  {name}\n"));
        let mut text = format!("\nthe slowest tests:\n{}", slowest.collect::<String>());
        if !self.failed.is_empty() {
            text += &format!("\nfailed:\n{}", failed.collect::<String>());
        }
        text.extend(self.reasons.iter().map(|reason| format!("\nskipped: {}\n", reason.trim_end())));
        if self.left_out > 0 {
            text += &format!("\n{} that take minutes were left out; run them by --long\n", self.left_out);
        }
        let (passed, skipped) = (self.passed, self.skipped);
        text + &format!("\n{passed} passed, {} failed, {skipped} skipped\n", self.failed.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_conclusion_names_the_ten_slowest_and_the_failed_ones_and_ends_with_the_numbers() {
        let report = Report::default();
        for number in 0..12 {
            let result = if number == 3 { TestResult::Failed } else { TestResult::Passed };
            report.test(&format!("test{number:02}"), result, Some(Duration::from_secs(number)));
        }
        report.test("an example", TestResult::Skipped, None);
        report.skipped("one of 14", "PostgreSQL 14 can't be installed");
        report.skipped("another of 14", "PostgreSQL 14 can't be installed");
        report.left_out(2);
        report.left_out(1);
        let text = report.conclusion();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1..3], ["the slowest tests:", "   11.0 s  test11"]);
        assert!(text.contains("test02") && !text.contains("test01"), "{text}");
        assert!(text.contains("failed:\n  test03\n"), "{text}");
        assert!(text.contains("\n3 that take minutes were left out; run them by --long\n"), "{text}");
        assert_eq!(text.matches("\nskipped: PostgreSQL 14 can't be installed\n").count(), 1, "{text}");
        assert_eq!(lines.last(), Some(&"11 passed, 1 failed, 3 skipped"));
    }
}
