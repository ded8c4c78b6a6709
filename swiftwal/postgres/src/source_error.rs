//! The error of a source of base backups.

use std::{borrow::Cow, error::Error};

/// The kind of a [`SourceError`], by which a caller may branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// The server can't be reached, or accepts no connections now.
    Unavailable,
    /// The server refused the connection: authentication, privileges, an unknown role.
    Refused,
    /// The cluster has tablespaces, which this source doesn't support.
    Tablespaces,
    /// The program that takes the backup is missing or can't be run.
    ProgramMissing,
    /// An incremental backup was requested, and the server or this source can't take it. A full one may be possible.
    NotIncremental,
    /// Anything else: the backup failed after it had begun, or may have.
    Failed,
}

/// A failed base backup. The message says what failed, and the [hint](Self::hint) what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: SourceErrorKind,
    message: String,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl SourceError {
    /// Creates an error of this kind; `message` says what was being done and to what.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// Adds a hint, which the message doesn't contain.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds the error that caused it, which the message doesn't repeat.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// Returns what to do about the error.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Returns the kind, by which a caller may branch.
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }
}
