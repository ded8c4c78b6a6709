//! Why a base backup failed.

use std::{borrow::Cow, error::Error};

/// What a caller may branch on in a [`SourceError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// The server can't be reached, or takes no connections now.
    Unavailable,
    /// The server answered, and refused: authentication, privileges, no such role.
    Refused,
    /// The cluster has tablespaces, which this way of making backups can't handle.
    Tablespaces,
    /// The program that makes the backup isn't there or can't be run.
    ProgramMissing,
    /// Anything else: the backup began or might have, and failed.
    Failed,
}

/// A base backup failed; the message says at what, and the [hint](Self::hint) what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: SourceErrorKind,
    message: String,
    hint: Option<Cow<'static, str>>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl SourceError {
    /// An error of that kind; `message` says what was being done and to what.
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, source: None }
    }

    /// The same error with what to do about it, which the message doesn't say.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same error with the one that caused it, which the message doesn't repeat.
    #[must_use]
    pub fn caused_by(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What a caller may branch on.
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }
}
