//! The results of the checks, printed as they come.

use std::{borrow::Cow, io, io::Write, mem, time::Duration};

use serde::Serialize;
use tokio::time::timeout;

use crate::{
    failure::Failure,
    message::Hinted,
    output::{Elapsed, Output},
};

use swiftwal_core::causes;

/// How wide the column of names is.
const NAME_COLUMNS: usize = 14;
/// How wide the column of states is.
const STATE_COLUMNS: usize = 8;

/// The state of what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It wasn't looked at; the message says why.
    Skipped,
    Ok,
    /// It works, but a person should look at it.
    Warning,
    Failed,
}

/// One check, as `--json` has it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) state: State,
    pub(super) message: String,
    /// What to do.
    pub(super) hint: Option<String>,
}

/// The `--json` document.
#[derive(Serialize)]
struct Document<'a> {
    checks: &'a [Check],
}

/// The checks so far. As text, each is printed at once.
pub(super) struct Checks {
    output: Output,
    checks: Vec<Check>,
    /// The first failure to print one.
    unprinted: Option<Failure>,
}

impl Check {
    pub(super) fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: State::Ok, message: message.into(), hint: None }
    }

    pub(super) fn skipped(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, state: State::Skipped, message: message.into(), hint: None }
    }

    pub(super) fn warning(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, state: State::Warning, message: message.into(), hint: Some(hint.into()) }
    }

    pub(super) fn failed(name: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, state: State::Failed, message: message.into(), hint: Some(hint.into()) }
    }

    /// Returns the check that failed with `error`.
    pub(super) fn error(name: &'static str, error: &impl Hinted) -> Self {
        let hint = error.hint().map(Cow::into_owned);
        Self { name, state: State::Failed, message: causes(error), hint }
    }

    /// Writes it for a person: a line, and what to do on the next one.
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let state = match self.state {
            State::Skipped => "skipped",
            State::Ok => "ok",
            State::Warning => "warning",
            State::Failed => "failed",
        };
        writeln!(out, "{state:STATE_COLUMNS$} {:NAME_COLUMNS$} {}", self.name, self.message)?;
        match &self.hint {
            Some(hint) => writeln!(out, "{:1$}-> {hint}", "", STATE_COLUMNS + NAME_COLUMNS + 2),
            None => Ok(()),
        }
    }
}

impl Checks {
    pub(super) fn new(output: Output) -> Self {
        Self { output, checks: Vec::new(), unprinted: None }
    }

    pub(super) fn add(&mut self, check: Check) {
        if !self.output.json && self.unprinted.is_none() {
            self.unprinted = self.output.text(|out| check.write(out)).err();
        }
        self.checks.push(check);
    }

    /// Waits for a check for at most `limit`, and adds it. One that takes longer has failed.
    pub(super) async fn add_within(
        &mut self,
        name: &'static str,
        limit: Duration,
        check: impl Future<Output = Check> + Send,
    ) {
        self.add_with_result(name, limit, async { (check.await, None::<()>) }).await;
    }

    /// As [`Self::add_within`]. Returns what the check returns beside itself.
    pub(super) async fn add_with_result<T: Send>(
        &mut self,
        name: &'static str,
        limit: Duration,
        check: impl Future<Output = (Check, Option<T>)> + Send,
    ) -> Option<T> {
        let (check, other) = timeout(limit, check).await.unwrap_or_else(|_| {
            let message = format!("there was no answer within {}", Elapsed(limit));
            (Check::failed(name, message, "look whether the network or the other side is overloaded"), None)
        });
        self.add(check);
        other
    }

    /// Prints what isn't printed yet, and fails if a check has failed.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        if let Some(failure) = mem::take(&mut self.unprinted) {
            return Err(failure);
        }
        if self.output.json {
            self.output.json(&Document { checks: &self.checks })?;
        }
        match self.checks.iter().any(|check| check.state == State::Failed) {
            true => Err(Failure::CheckFailed),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_stands_below_the_message() {
        let mut out = Vec::new();
        Check::ok("storage", "2 backups").write(&mut out).unwrap();
        Check::failed("archiving", "nothing arrived", "look at the log").write(&mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok       storage        2 backups\n\
             failed   archiving      nothing arrived\n                        -> look at the log\n"
        );
    }

    #[tokio::test]
    async fn a_check_that_hangs_has_failed_and_the_others_go_on() {
        let mut checks = Checks::new(Output { json: true, verbose: false });
        checks.add_within("server", Duration::ZERO, std::future::pending()).await;
        checks.add(Check::ok("storage", "2 backups"));
        assert_eq!([checks.checks[0].state, checks.checks[1].state], [State::Failed, State::Ok]);
    }
}
