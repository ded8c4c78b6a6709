//! The trace of file operations, for `-vv`: one line for each, as for a request to Swift.

use std::time::Instant;

use object_store::{Error, Result};

/// A file operation that has begun.
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

    /// Traces the end of the operation, and passes its outcome on.
    pub(super) fn ended<T>(&self, bytes: Option<u64>, outcome: Result<T>) -> Result<T> {
        let result = match (&outcome, bytes) {
            (Ok(_), Some(bytes)) => format!("{bytes} bytes"),
            (Ok(_), None) => "done".to_owned(),
            (Err(error), _) => failure(error).to_owned(),
        };
        self.print(&result);
        outcome
    }

    /// Traces the end of a listing.
    pub(super) fn listed(&self, names: u64) {
        self.print(&format!("{names} files"));
    }

    fn print(&self, result: &str) {
        let Self { verb, name, began } = self;
        tracing::debug!("{verb} {name}: {result}, {} ms", began.elapsed().as_millis());
    }
}

/// The kind of a failure; the message of the command has the details.
fn failure(error: &Error) -> &'static str {
    match error {
        Error::NotFound { .. } => "not found",
        Error::AlreadyExists { .. } => "exists",
        _ => "failed",
    }
}
