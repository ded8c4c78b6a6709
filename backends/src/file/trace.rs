//! Logs file operations for `-vv`, one line each, as for requests to Swift.

use std::time::Instant;

use object_store::{Error, Result};

/// A file operation in progress.
#[derive(Debug)]
pub(super) struct Trace {
    verb: &'static str,
    name: String,
    began: Instant,
}

impl Trace {
    pub(super) fn new(verb: &'static str, name: impl Into<String>) -> Self {
        Self { verb, name: name.into(), began: Instant::now() }
    }

    /// Logs the end of the operation, and returns its outcome.
    pub(super) fn ended<T>(&self, bytes: Option<u64>, outcome: Result<T>) -> Result<T> {
        let result = match (&outcome, bytes) {
            (Ok(_), Some(bytes)) => format!("{bytes} bytes"),
            (Ok(_), None) => "done".to_owned(),
            (Err(error), _) => failure(error).to_owned(),
        };
        self.print(&result);
        outcome
    }

    /// Logs the end of a listing.
    pub(super) fn listed(&self, names: u64) {
        self.print(&format!("{names} files"));
    }

    fn print(&self, result: &str) {
        let Self { verb, name, began } = self;
        tracing::debug!("{verb} {name}: {result}, {} ms", began.elapsed().as_millis());
    }
}

/// Returns the kind of a failure. The command's message has the details.
fn failure(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "not found",
        Error::AlreadyExists { .. } => "exists",
        _ => "failed",
    }
}
