//! The messages of `pg_basebackup` that are reported at once: the server's warnings, and the expected size.

use std::collections::HashSet;

use tokio::sync::mpsc::UnboundedSender;

use crate::{BaseBackupEvent, printable};

/// The largest number of reported warnings, in case a server warns of every file of a large cluster.
const MOST_WARNINGS: usize = 200;

/// A message that is reported at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    Warning(String),
    Estimate { bytes: u64 },
}

impl From<Note> for BaseBackupEvent {
    fn from(note: Note) -> Self {
        match note {
            Note::Warning(text) => Self::ServerWarning(text),
            Note::Estimate { bytes } => Self::Estimate { bytes },
        }
    }
}

/// The kind of the previous line, which a detail or a hint belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Warning,
    RepeatedWarning,
    Other,
}

/// Selects the notes among the lines of one run.
#[derive(Debug)]
pub(super) struct Notes {
    sender: UnboundedSender<Note>,
    /// The warnings reported so far. When asked for its size, a server reads its files twice, and warns twice.
    warnings: HashSet<String>,
    sent: usize,
    last: Last,
    estimate: u64,
}

impl Notes {
    pub(super) fn new(sender: UnboundedSender<Note>) -> Self {
        Self { sender, warnings: HashSet::new(), sent: 0, last: Last::Other, estimate: 0 }
    }

    /// Reports the note in a line, if there is one. Returns true for a progress line, which needn't be kept.
    pub(super) fn take(&mut self, line: &str) -> bool {
        if let Some(bytes) = estimate(line) {
            if bytes != self.estimate {
                self.estimate = bytes;
                self.send(Note::Estimate { bytes });
            }
            return true;
        }
        match detail(line) {
            Some(text) if self.last == Last::Warning => self.pass_on(text),
            Some(_) => {}
            None => self.last = warning(line).map_or(Last::Other, |text| self.warn(text)),
        }
        false
    }

    fn warn(&mut self, text: String) -> Last {
        if self.sent >= MOST_WARNINGS {
            return Last::Other;
        }
        if !self.warnings.insert(text.clone()) {
            return Last::RepeatedWarning;
        }
        self.pass_on(text);
        Last::Warning
    }

    fn pass_on(&mut self, text: String) {
        self.sent += 1;
        match self.sent {
            1..MOST_WARNINGS => self.send(Note::Warning(text)),
            MOST_WARNINGS => self.send(Note::Warning("and more; see the server's log".to_owned())),
            _ => {}
        }
    }

    fn send(&self, note: Note) {
        // The receiver is gone only if the backup was abandoned.
        drop(self.sender.send(note));
    }
}

/// Parses the size in ` 12345/67890 kB (18%), 0/1 tablespace`.
fn estimate(line: &str) -> Option<u64> {
    let (done, rest) = line.trim_start().split_once('/')?;
    let (total, _) = rest.split_once(" kB (")?;
    done.parse::<u64>().ok()?;
    total.parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns the warning in a line. The server's messages have the form `WARNING:  text`, in the server's language; libpq
/// prints them unchanged.
fn warning(line: &str) -> Option<String> {
    if let Some((_, text)) = line.split_once("pg_basebackup: warning: ") {
        return Some(printable(text).to_string());
    }
    match message(line)? {
        ("WARNING", text) => Some(printable(text).to_string()),
        // A successful backup prints these, or they are errors, which the program repeats when it fails.
        ("NOTICE" | "INFO" | "LOG" | "DEBUG" | "ERROR" | "FATAL" | "PANIC", _) => None,
        // A severity in another language: a superfluous notice is better than a lost warning.
        (severity, text) => Some(printable(&format!("{severity}: {text}")).to_string()),
    }
}

/// Returns the explanation in a line that follows the message it explains.
fn detail(line: &str) -> Option<String> {
    match message(line)? {
        (severity @ ("DETAIL" | "HINT" | "CONTEXT"), text) => {
            Some(printable(&format!("{severity}: {text}")).to_string())
        }
        _ => None,
    }
}

/// Returns the severity and the text of a server's message.
fn message(line: &str) -> Option<(&str, &str)> {
    let (severity, text) = line.split_once(":  ")?;
    let is_word = !severity.is_empty() && !severity.chars().any(|c| c.is_whitespace() || c.is_lowercase());
    is_word.then_some((severity, text))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    fn notes(lines: &[&str]) -> Vec<Note> {
        let (sender, mut receiver) = unbounded_channel();
        let mut notes = Notes::new(sender);
        for line in lines {
            notes.take(line);
        }
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    fn warnings(lines: &[&str]) -> Vec<String> {
        let text = |note| match note {
            Note::Warning(text) => text,
            other => panic!("{other:?}"),
        };
        notes(lines).into_iter().map(text).collect()
    }

    #[test]
    fn the_servers_warnings_are_passed_on_with_what_explains_them() {
        let warnings = warnings(&[
            "pg_basebackup: initiating base backup, waiting for checkpoint to complete",
            "NOTICE:  base backup done, waiting for required WAL segments to be archived",
            "HINT:  of the notice",
            "WARNING:  skipping special file \"./pg_hba.conf\"",
            "WARNING:  still waiting for all required WAL segments to be archived (60 seconds elapsed)",
            "HINT:  Check that your archive_command is executing properly.",
            "pg_basebackup: warning: could not set something",
            "pg_basebackup: error: could not get data: ERROR:  gone",
        ]);
        assert_eq!(
            warnings,
            [
                "skipping special file \"./pg_hba.conf\"",
                "still waiting for all required WAL segments to be archived (60 seconds elapsed)",
                "HINT: Check that your archive_command is executing properly.",
                "could not set something",
            ]
        );
    }

    #[test]
    fn a_warning_that_the_server_repeats_is_passed_on_once() {
        let lines = ["WARNING:  skipping special file \"./x\"", "HINT:  of x", "WARNING:  another"];
        assert_eq!(warnings(&lines.repeat(2)), ["skipping special file \"./x\"", "HINT: of x", "another"]);
    }

    #[test]
    fn a_warning_in_another_language_is_one_too() {
        let warnings = warnings(&["WARNUNG:  Spezialdatei »./x« wird übersprungen", "ПРЕДУПРЕЖДЕНИЕ:  x"]);
        assert_eq!(warnings, ["WARNUNG: Spezialdatei »./x« wird übersprungen", "ПРЕДУПРЕЖДЕНИЕ: x"]);
    }

    #[test]
    fn control_characters_of_the_server_do_not_reach_the_terminal() {
        assert_eq!(warnings(&["WARNING:  \u{1b}[2Jx\ty"]), ["\\x1b[2Jx\\ty"]);
    }

    #[test]
    fn warnings_without_end_are_cut_off() {
        let many: Vec<_> = (0..10_000).map(|number| format!("WARNING:  {number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let warnings = warnings(&many);
        assert_eq!(
            (warnings.len(), warnings.last().unwrap().as_str()),
            (200, "and more; see the server's log")
        );
    }

    #[test]
    fn the_size_that_is_expected_is_said_when_it_changes() {
        let warnings = notes(&[
            "     0/22836 kB (0%), 0/1 tablespace",
            " 11000/22836 kB (48%), 0/1 tablespace (...a/base/1/1259)",
            " 30000/30000 kB (100%), 1/1 tablespace",
        ]);
        let expected = [22_836, 30_000].map(|kib| Note::Estimate { bytes: kib * 1024 });
        assert_eq!(warnings, expected);
        assert!(notes(&["1/x kB (", "a/2 kB (", "nothing"]).is_empty());
    }
}
