//! The error type of this crate. Each flow returns it; the command line turns it into a message and an exit code.

mod in_full;
mod open;
mod refusal;

use std::{borrow::Cow, io, os::unix::ffi::OsStrExt, path::PathBuf};

use swiftwal_postgres::{SourceError, WalName, printable};
use thiserror::Error;

pub use self::{
    in_full::causes,
    open::OpenError,
    refusal::{Overdue, Refusal},
};

/// The result of what this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a flow failed. Nothing was acknowledged, and nothing that was stored before is lost.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage failed, or gave no clear answer.
    #[error("can't {action} {object} in {location}")]
    Storage {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which object.
        object: String,
        /// In which repository.
        location: String,
        /// What to do about it, as the storage's backend knows it.
        hint: Option<String>,
        /// What the storage said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The repository could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The storage proved that this WAL file isn't there.
    #[error("{name} is not in {location}")]
    WalAbsent {
        /// PostgreSQL's name of the file.
        name: WalName,
        /// In which repository it was looked for.
        location: String,
    },
    /// The place exists but holds nothing of ours: most likely another place was meant.
    #[error("{location} holds no repository")]
    NoRepository {
        /// The place.
        location: String,
    },
    /// This machine has used the repository before, and what is there now isn't it.
    #[error(
        "{location} held the repository of the PostgreSQL cluster with system identifier {expected} on {date}, and {}",
        changed(*found)
    )]
    NotAsSeen {
        /// In which place.
        location: String,
        /// When it was seen last.
        date: String,
        /// The system identifier of the cluster whose repository it was.
        expected: u64,
        /// That of the cluster whose repository it is now; none where there is no `cluster.json`.
        found: Option<u64>,
        /// The state directory that says so.
        state: PathBuf,
    },
    /// There is no backup at all.
    #[error("there is no backup in {location}")]
    NoBackup {
        /// In which repository.
        location: String,
    },
    /// There is no such backup.
    #[error("there is no backup {wanted} in {location}")]
    UnknownBackup {
        /// What was asked for.
        wanted: String,
        /// In which repository.
        location: String,
        /// Which backups there are.
        hint: String,
    },
    /// An object can't be what was stored.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// The object or file.
        object: String,
        /// What doesn't fit.
        reason: String,
    },
    /// An object of a backup is missing.
    #[error("{object} is missing in {location}")]
    Missing {
        /// The object.
        object: String,
        /// In which repository.
        location: String,
    },
    /// An object was written by a newer version of this program.
    #[error("{object} has format version {found}, and this program knows versions up to {known}")]
    NewerFormat {
        /// The object.
        object: String,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// An object demands more of its readers than this program knows.
    #[error("{object} requires {feature}, which this version doesn't know")]
    NotUnderstood {
        /// The object.
        object: String,
        /// What isn't known.
        feature: String,
    },
    /// A commit record that is not of this repository, or not of the backup whose name it has.
    #[error("{object} isn't a backup of this repository: {reason}")]
    Stranger {
        /// The record's object.
        object: String,
        /// Whose it is.
        reason: String,
    },
    /// An argument that can't be right; nothing was done. The text says what, and what to give instead.
    #[error("{0}")]
    Usage(String),
    /// What was asked would do harm, or can't be done as asked; the text says what, and the way out.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file or directory of this machine.
    #[error("can't {action} {}", printable(path.as_os_str().as_bytes()))]
    Local {
        /// What was being done, as a verb.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The source of the base backup failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The caller stopped it.
    #[error("interrupted")]
    Stopped,
    /// Something took longer than its limit; the text says what, and what to look at.
    #[error(transparent)]
    TimedOut(#[from] Overdue),
}

/// What a caller may branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Proven not to be in the repository.
    Absent,
    /// Bad input, or a state in which it would do harm.
    Refused,
    /// Stored or local content that can't be right.
    Damaged,
    /// The storage, this machine or PostgreSQL failed: trying again may help.
    Failed,
    /// A limit was reached.
    TimedOut,
    /// The caller stopped it.
    Stopped,
}

/// What is there in place of the repository that was seen before, and what to do.
fn changed(found: Option<u64>) -> String {
    match found {
        None => "now there is no cluster.json".to_owned(),
        Some(found) => format!("now it belongs to the cluster with system identifier {found}"),
    }
}

/// What to do about a local failure, where that can be told.
fn way_out(error: &io::Error) -> Option<&'static str> {
    Some(match error.kind() {
        io::ErrorKind::ReadOnlyFilesystem => {
            "its file system is mounted read-only: remount it for writing, or use another place"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space there, or use another place"
        }
        io::ErrorKind::NotFound => "check that the file and its directory exist",
        io::ErrorKind::PermissionDenied => "run this as a user with permission, or grant it",
        _ => return None,
    })
}

impl Error {
    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::WalAbsent { .. } | Self::NoBackup { .. } | Self::UnknownBackup { .. } => ErrorKind::Absent,
            Self::Open(_)
            | Self::NoRepository { .. }
            | Self::NotAsSeen { .. }
            | Self::NewerFormat { .. }
            | Self::NotUnderstood { .. }
            | Self::Stranger { .. }
            | Self::Usage(_)
            | Self::Refused(_) => ErrorKind::Refused,
            Self::Damaged { .. } | Self::Missing { .. } => ErrorKind::Damaged,
            Self::Storage { .. } | Self::Local { .. } | Self::Source(_) => ErrorKind::Failed,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::Stopped => ErrorKind::Stopped,
        }
    }

    /// What to do about it, where that can be told and the text itself doesn't say it.
    #[must_use]
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::Storage { hint, .. } => return hint.as_deref().map(Cow::Borrowed),
            Self::Open(error) => return error.hint().map(Cow::Borrowed),
            Self::NoRepository { .. } => "check the name, and whether the storage is the right one",
            Self::NotAsSeen { found: None, .. } => {
                "is its disk mounted? To start a new repository there, run archive-wal or backup once with --create"
            }
            Self::NotAsSeen { found: Some(_), state, .. } => {
                let state = state.display();
                return Some(format!("is the right disk mounted? If it is, delete {state}").into());
            }
            Self::NoBackup { .. } => "take one first",
            Self::UnknownBackup { hint, .. } => hint,
            Self::Missing { .. } => "another backup may be complete, see list-backups",
            Self::NewerFormat { .. } | Self::NotUnderstood { .. } => "use a newer swiftwal",
            Self::Stranger { .. } => "it is ignored: find out where it comes from",
            Self::Refused(refusal) => return refusal.hint(),
            Self::Local { source, .. } => return way_out(source).map(Cow::Borrowed),
            Self::Source(error) => return error.hint().map(Cow::Borrowed),
            Self::TimedOut(overdue) => return overdue.hint().map(Cow::Borrowed),
            Self::WalAbsent { .. } | Self::Damaged { .. } | Self::Usage(_) | Self::Stopped => return None,
        }))
    }

    /// For `map_err`: what was being done to which file of this machine.
    pub(crate) fn local(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Local { action, path, source }
    }

    pub(crate) fn damaged(object: impl ToString, reason: impl ToString) -> Self {
        Self::Damaged { object: object.to_string(), reason: printable(&reason.to_string()).to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_shown_without_control_characters() {
        let error = Error::damaged("x.json", "unknown variant `\u{1b}[2J\u{9b}`\n");
        assert_eq!(error.to_string(), "x.json is damaged: unknown variant `\\x1b[2J\\u{9b}`\\n");
    }
}
