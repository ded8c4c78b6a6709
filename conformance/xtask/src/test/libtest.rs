//! Parses the output of a test binary, and measures each test.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The result of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestResult {
    Passed,
    Failed,
    Skipped,
}

/// Parses `test NAME ... ok` and the like; None for any other line.
pub(crate) fn test_result(line: &str) -> Option<(&str, TestResult)> {
    let (name, told) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let result = match told.split([',', ' ']).next()? {
        "ok" => TestResult::Passed,
        "FAILED" => TestResult::Failed,
        "ignored" => TestResult::Skipped,
        _ => return None,
    };
    Some((name.trim_end_matches(" - should panic"), result))
}

/// Returns the names in the output of `--list --format terse`, in order.
pub(crate) fn names(list: &str) -> VecDeque<String> {
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The start time of each test. libtest prints only that a test has ended, and then starts the next one of its list.
/// (It measures the tests itself only if unstable options are enabled.)
#[derive(Debug)]
pub(crate) struct Beginnings {
    waiting: VecDeque<String>,
    running: HashMap<String, Instant>,
}

impl Beginnings {
    /// For a binary that is started `now`, with these tests on this number of threads.
    pub(crate) fn new(mut waiting: VecDeque<String>, threads: usize, now: Instant) -> Self {
        let first = waiting.drain(..threads.min(waiting.len())).map(|name| (name, now)).collect();
        Self { waiting, running: first }
    }

    /// Returns the duration of the test that ends `now`; None if it wasn't in the list.
    pub(crate) fn end(&mut self, name: &str, now: Instant) -> Option<Duration> {
        let began = self.running.remove(name)?;
        if let Some(next) = self.waiting.pop_front() {
            self.running.insert(next, now);
        }
        Some(now - began)
    }

    /// Returns the tests that are running, in alphabetical order.
    pub(crate) fn running(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.running.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_other_lines() {
        assert_eq!(test_result("test a::b ... ok"), Some(("a::b", TestResult::Passed)));
        assert_eq!(test_result("test a::b ... FAILED"), Some(("a::b", TestResult::Failed)));
        assert_eq!(test_result("test a::b ... ignored, needs Swift"), Some(("a::b", TestResult::Skipped)));
        assert_eq!(test_result("test a::b - should panic ... ok"), Some(("a::b", TestResult::Passed)));
        let example = "test src/lib.rs - Wire::to (line 7) ... ok";
        assert_eq!(test_result(example), Some(("src/lib.rs - Wire::to (line 7)", TestResult::Passed)));
        let others =
            ["running 2 tests", "test result: ok. 2 passed", "test a has been running for over 60 seconds"];
        assert_eq!(others.map(test_result), [None; 3]);
    }

    #[test]
    fn a_test_begins_when_the_one_before_it_on_a_thread_ends() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let took = Duration::from_secs;
        let mut beginnings = Beginnings::new(names("a: test\nb: test\nc: test\nd: test\n"), 2, begin);
        assert_eq!(beginnings.end("b", at(3)), Some(took(3)));
        assert_eq!(beginnings.running(), ["a", "c"]);
        assert_eq!(beginnings.end("a", at(5)), Some(took(5)));
        assert_eq!(beginnings.end("d", at(6)), Some(took(1)));
        assert_eq!(beginnings.end("c", at(9)), Some(took(6)));
        assert_eq!(beginnings.end("unknown", at(9)), None);
        assert!(beginnings.running().is_empty());
    }
}
