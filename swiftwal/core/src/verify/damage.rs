//! What verify finds.

use std::fmt;

use serde::Serialize;

use crate::{
    error::{Error, Result},
    repository::key::BackupKey,
};

/// The most files that are named of those with the same damage.
const MOST_NAMED: usize = 5;

/// A damaged or missing object, and what that means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Damage {
    /// The object.
    pub object: String,
    /// What is wrong with it.
    pub reason: String,
    /// The files of the cluster that are affected, as far as they are known. No more than a few are named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// What can't be restored any more, or not as before.
    pub means: String,
    /// The backups that can't be restored, or not up to every point in time.
    pub backups: Vec<BackupKey>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)?;
        if !self.files.is_empty() {
            write!(f, " ({})", self.files.join(", "))?;
        }
        write!(f, "; {}", self.means)
    }
}

/// A damaged or missing object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) object: String,
    pub(super) reason: String,
    pub(super) files: Vec<String>,
}

impl Fault {
    pub(super) fn new(object: impl ToString, reason: impl ToString) -> Self {
        Self { object: object.to_string(), reason: reason.to_string(), files: Vec::new() }
    }

    /// Returns what `error` says about stored data.
    ///
    /// # Errors
    ///
    /// `error` itself, if the data couldn't be looked at.
    pub(super) fn of(error: Error) -> Result<Self> {
        match error {
            Error::Damaged { object, reason } => Ok(Self::new(object, format!("it is damaged: {reason}"))),
            Error::Missing { object, .. } => Ok(Self::new(object, "it is missing")),
            error => Err(error),
        }
    }

    pub(super) fn means(self, means: impl Into<String>, backups: Vec<BackupKey>) -> Damage {
        let Self { object, reason, files } = self;
        Damage { object, reason, files, means: means.into(), backups }
    }
}

/// The first few of many names, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Named {
    first: Vec<String>,
    pub(super) count: u64,
}

impl Named {
    /// Adds a name. It is only made if it is among the first.
    pub(super) fn add(&mut self, name: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < MOST_NAMED {
            self.first.push(name());
        }
    }

    /// Returns the names, and how many are left out.
    pub(super) fn names(self) -> Vec<String> {
        let left_out = self.count - self.first.len() as u64;
        let more = (left_out > 0).then(|| format!("and {left_out} more"));
        self.first.into_iter().chain(more).collect()
    }
}
