//! Runs the test binaries, some at a time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::binary::Binary;
use super::libtest::{Beginnings, TestResult, names, test_result};
use super::report::Report;
use super::selection::Selection;

/// How many binaries run at a time. Tests on real servers mostly wait.
pub(crate) const AT_A_TIME: usize = 3;

/// How many tests of a binary run at a time.
const THREADS: usize = 2;

/// Runs the selected tests of all binaries with these settings in their environment.
pub(crate) fn all(
    mut binaries: Vec<Binary>,
    settings: &BTreeMap<String, String>,
    selection: &Selection,
    report: &Report,
) {
    // Those with the most tests on real servers first: they take the longest, and short ones fill the end.
    binaries.sort_by_cached_key(|binary| Reverse(binary.list(&["--ignored"]).map_or(0, |names| names.len())));
    let queue = Mutex::new(VecDeque::from(binaries));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let work = || {
        while let Some(binary) = next() {
            if let Err(error) = binary.run(settings, selection, report) {
                report.failed(&format!("{} can't be run: {error:#}", binary.path.display()));
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
}

impl Binary {
    /// Runs its selected tests, including ignored ones.
    fn run(&self, settings: &BTreeMap<String, String>, selection: &Selection, report: &Report) -> Result<()> {
        let mut skip: Vec<&str> = selection.left_out().iter().flat_map(|text| ["--skip", *text]).collect();
        let wanted = self.list(&skip)?;
        report.left_out(self.list(&[])?.len() - wanted.len());
        skip.extend(selection.skipped().flat_map(|text| ["--skip", text]));
        let (skipped, names): (VecDeque<String>, VecDeque<String>) =
            wanted.into_iter().partition(|name| selection.reason(name).is_some());
        for (name, reason) in skipped.iter().filter_map(|name| Some((name, selection.reason(name)?))) {
            report.skipped(&format!("{} {name}", self.name), reason);
        }
        let mut command = self.command();
        command.args(["--include-ignored", "--test-threads", &THREADS.to_string()]).args(skip).envs(settings);
        let mut beginnings = Beginnings::new(names, THREADS, Instant::now());
        let mut any_failed = false;
        let (status, output) = follow(&mut command, |line| {
            let Some((test, result)) = test_result(line) else { return };
            any_failed |= result == TestResult::Failed;
            report.test(&format!("{} {test}", self.name), result, beginnings.end(test, Instant::now()));
        })?;
        if !status.success() {
            report.output(&self.name, &output);
            if !any_failed {
                let running = beginnings.running().join(", ");
                report.failed(&format!("{} ended with {status} in {running}", self.name));
            }
        }
        Ok(())
    }

    /// Returns the names of its tests in the order in which they run; with `--ignored`, of those that need real
    /// servers, and with `--skip TEXT`, of those whose names don't contain it.
    fn list(&self, options: &[&str]) -> Result<VecDeque<String>> {
        let mut command = self.command();
        Ok(names(&xtask::stdout(command.args(["--list", "--format", "terse"]).args(options))?))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.directory).env("CARGO_MANIFEST_DIR", &self.directory);
        command
    }
}

/// Runs the command to its end, and passes on each line of its standard output. Returns its status and its complete
/// output, standard output first.
pub(crate) fn follow(command: &mut Command, mut line: impl FnMut(&str)) -> Result<(ExitStatus, String)> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
    let stdout = child.stdout.take().context("a standard output")?;
    let mut stderr = child.stderr.take().context("a standard error")?;
    let complaints = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        bytes
    });
    let mut output = String::new();
    for bytes in BufReader::new(stdout).split(b'\n') {
        let text = String::from_utf8_lossy(&bytes?).into_owned();
        line(&text);
        output += &text;
        output.push('\n');
    }
    let complaints = complaints.join().map_err(|_| anyhow!("reading its standard error panicked"))?;
    output += &String::from_utf8_lossy(&complaints);
    Ok((child.wait()?, output))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program with the tests `other` and `postgresql_14::fails`, which can list, skip and run them.
    const TWO_TESTS: &str = r#"#!/bin/sh
names=other
case "$*" in *"--skip postgresql_14::"*) ;; *) names="$names postgresql_14::fails" ;; esac
for name in $names; do
    case "$name $*" in *--list*) echo "$name: test" ;; other*) echo "test $name ... ok" ;; *) exit 101 ;; esac
done
"#;

    #[test]
    fn a_test_of_a_version_that_is_not_installed_is_skipped_and_its_reason_printed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tests");
        // By another process: a file that this one has open for writing, even in a child, can't be run.
        let write = r#"printf %s "$1" > "$0" && chmod 755 "$0""#;
        xtask::stdout(Command::new("sh").args(["-c", write]).arg(&path).arg(TWO_TESTS)).unwrap();
        let run = |missing: Option<u32>| {
            let binary = Binary { name: "x".into(), path: path.clone(), directory: directory.path().into() };
            let reason = |major| (missing == Some(major)).then(|| "no network".to_owned());
            let report = Report::default();
            all(vec![binary], &BTreeMap::new(), &Selection::with(false, reason), &report);
            report.conclusion()
        };
        let skipped = run(Some(14));
        assert!(skipped.contains("\nskipped: no network\n"), "{skipped}");
        assert!(skipped.ends_with("\n1 passed, 0 failed, 1 skipped\n"), "{skipped}");
        assert!(run(None).ends_with("\n1 passed, 1 failed, 0 skipped\n"));
    }

    #[test]
    fn a_command_is_followed_line_by_line_and_shown_whole() {
        let mut lines = Vec::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo one; echo oops >&2; echo two; exit 3"]);
        let (status, output) = follow(&mut shell, |line| lines.push(line.to_owned())).unwrap();
        assert_eq!((status.code(), output.as_str()), (Some(3), "one\ntwo\noops\n"));
        assert_eq!(lines, ["one", "two"]);
    }
}
