//! The error type of this crate. Each flow returns it; the command line turns it into a message and an exit code.

mod in_full;
mod open;
mod refusal;

use std::{borrow::Cow, io, os::unix::ffi::OsStrExt, path::PathBuf, time::Duration};

use swiftwal_postgres::{Lsn, SegmentName, SourceError, WalName, printable};
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
    /// The storage failed, or its answer was unclear.
    #[error("can't {action} {object} in {location}")]
    Storage {
        /// The failed action, as a verb.
        action: &'static str,
        /// The object.
        object: String,
        /// The repository.
        location: String,
        /// What to do about it, according to the storage's backend.
        hint: Option<String>,
        /// The storage's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The repository could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The storage has proven that this WAL file is missing.
    #[error("{name} is not in {location}")]
    WalAbsent {
        /// PostgreSQL's name of the file.
        name: WalName,
        /// The repository.
        location: String,
    },
    /// The storage has proven that this WAL file is missing, and contains WAL that comes after it.
    #[error("{}", hole(*name, location, *before, *later))]
    WalHole {
        /// PostgreSQL's name of the missing file: a segment, or the history of a timeline.
        name: WalName,
        /// The repository.
        location: String,
        /// The last segment before it, if it is known to be stored.
        before: Option<SegmentName>,
        /// The first WAL after it on its timeline, or else of a timeline that began later; if the file is a history, the
        /// first WAL of that timeline.
        later: WalName,
        /// How long the file may still be on its way: the later WAL was stored just now, and archive-wal stores several
        /// files at once.
        settles_in: Duration,
    },
    /// This segment is stored, but a server in recovery must not replay it: the timeline that it follows branched off within
    /// the segment, and what comes behind that isn't its past.
    #[error(
        "{segment} in {location} isn't replayed: timeline {} branched off at {at}, and what timeline {} has behind that \
         isn't its past. Recovery needs {needed} in its place",
        needed.timeline(),
        segment.timeline()
    )]
    WalBehindBranch {
        /// The segment.
        segment: SegmentName,
        /// The repository.
        location: String,
        /// Where the timeline that recovery follows branched off.
        at: Lsn,
        /// The segment of that timeline.
        needed: SegmentName,
    },
    /// The directory or container exists but contains no repository: most likely another one was meant.
    #[error("{location} contains no repository")]
    NoRepository {
        /// The directory or container.
        location: String,
    },
    /// This machine has used a repository there before, which has vanished or been replaced.
    #[error(
        "{location} held the repository of the PostgreSQL cluster with system identifier {expected} on {date}, and {}",
        changed(*found)
    )]
    NotAsSeen {
        /// The directory or container.
        location: String,
        /// When the repository was seen last.
        date: String,
        /// The system identifier of the cluster that the repository belonged to.
        expected: u64,
        /// The system identifier of the cluster that it belongs to now. None if there is no `cluster.json`.
        found: Option<u64>,
        /// The state directory that has the record of it.
        state: PathBuf,
    },
    /// There is no backup at all.
    #[error("there is no backup in {location}")]
    NoBackup {
        /// The repository.
        location: String,
    },
    /// There is no such backup.
    #[error("there is no backup {wanted} in {location}")]
    UnknownBackup {
        /// The requested backup.
        wanted: String,
        /// The repository.
        location: String,
        /// The existing backups.
        hint: String,
    },
    /// The content of an object or file is invalid.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// The object or file.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An object of a backup is missing.
    #[error("{object} is missing in {location}")]
    Missing {
        /// The object.
        object: String,
        /// The repository.
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
    /// An object requires a feature that this version doesn't have.
    #[error("{object} requires {feature}, which this version doesn't know")]
    NotUnderstood {
        /// The object.
        object: String,
        /// The feature.
        feature: String,
    },
    /// A commit record of another cluster's backup, or under the name of another backup.
    #[error("{object} isn't a backup of this repository: {reason}")]
    Foreign {
        /// The object of the record.
        object: String,
        /// What it is the record of.
        reason: String,
    },
    /// An invalid argument; nothing was done. The text says what to give instead.
    #[error("{0}")]
    Usage(String),
    /// The request would do harm, or can't be done as given.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file or directory of this machine can't be used.
    #[error("can't {action} {}", printable(path.as_os_str().as_bytes()))]
    Local {
        /// The failed action, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The source of the base backup failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The caller has stopped the operation.
    #[error("interrupted")]
    Stopped,
    /// A wait exceeded its limit.
    #[error(transparent)]
    TimedOut(#[from] Overdue),
}

/// The kinds of errors that a caller may distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It is proven to be missing in the repository.
    Absent,
    /// The input is invalid, or the operation would do harm.
    Refused,
    /// Stored or local content is invalid.
    Damaged,
    /// The storage, this machine or PostgreSQL failed; a retry may help.
    Failed,
    /// A time limit was exceeded.
    TimedOut,
    /// The caller has stopped the operation.
    Stopped,
}

/// Describes what has replaced the repository that was seen before.
fn changed(found: Option<u64>) -> String {
    match found {
        None => "now there is no cluster.json".to_owned(),
        Some(found) => format!("now it belongs to the cluster with system identifier {found}"),
    }
}

/// Describes a hole in the WAL.
fn hole(name: WalName, location: &str, before: Option<SegmentName>, later: WalName) -> String {
    if let WalName::History(timeline) = name {
        return format!(
            "{name} is missing in {location}, but timeline {timeline} is in use: its WAL is stored, from {later} on"
        );
    }
    let before = before.map(|before| format!("the last one before it is {before}, ")).unwrap_or_default();
    format!("WAL segment {name} is missing in {location}: {before}the next one stored is {later}")
}

/// What to do about a local failure, if that is known.
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
    /// Returns the kind of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::WalAbsent { .. } | Self::NoBackup { .. } | Self::UnknownBackup { .. } => ErrorKind::Absent,
            Self::Open(_)
            | Self::NoRepository { .. }
            | Self::NotAsSeen { .. }
            | Self::NewerFormat { .. }
            | Self::NotUnderstood { .. }
            | Self::Foreign { .. }
            | Self::Usage(_)
            | Self::Refused(_) => ErrorKind::Refused,
            Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::WalHole { .. }
            | Self::WalBehindBranch { .. } => ErrorKind::Damaged,
            Self::Storage { .. } | Self::Local { .. } | Self::Source(_) => ErrorKind::Failed,
            Self::TimedOut(_) => ErrorKind::TimedOut,
            Self::Stopped => ErrorKind::Stopped,
        }
    }

    /// What to do about the error, if that is known and its text doesn't say it.
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
                return Some(
                    format!("is the right disk mounted? If it is, delete {state}/cluster.json").into(),
                );
            }
            Self::WalHole { name: WalName::History(timeline), .. } => {
                return Some(
                    format!(
                        "store {:08X}.history with archive-wal from the pg_wal of a server that has it; otherwise restore a \
                         backup that was taken on timeline {timeline}, or remove the timeline: swiftwal timeline discard \
                         {timeline}",
                        timeline.get()
                    )
                    .into(),
                );
            }
            Self::WalHole { name, .. } => {
                return Some(
                    format!(
                        "if a server's pg_wal still has {name}, store it with archive-wal; otherwise restore a backup that was \
                         taken after it, or recover to a target well before it (PostgreSQL reads WAL ahead), or give up all \
                         later WAL: add --end-at-hole to restore-wal in \
                         restore_command, or use restore --end-at-hole"
                    )
                    .into(),
                );
            }
            Self::WalBehindBranch { segment, needed, .. } => {
                return Some(
                    format!(
                        "if a server's pg_wal still has {needed}, store it with archive-wal. Otherwise restore with \
                         --target-timeline {}, or give up this segment: add --end-at-hole to restore-wal in restore_command, \
                         or use restore --end-at-hole",
                        segment.timeline()
                    )
                    .into(),
                );
            }
            Self::NoBackup { .. } => "take one first",
            Self::UnknownBackup { hint, .. } => hint,
            Self::Missing { .. } => "another backup may be complete, see list-backups",
            Self::NewerFormat { .. } | Self::NotUnderstood { .. } => "use a newer swiftwal",
            Self::Foreign { .. } => "it is ignored: find out where it comes from",
            Self::Refused(refusal) => return refusal.hint(),
            Self::Local { source, .. } => return way_out(source).map(Cow::Borrowed),
            Self::Source(error) => return error.hint().map(Cow::Borrowed),
            Self::TimedOut(overdue) => return overdue.hint().map(Cow::Borrowed),
            Self::WalAbsent { .. } | Self::Damaged { .. } | Self::Usage(_) | Self::Stopped => return None,
        }))
    }

    /// For `map_err`: the error of an action on a file of this machine.
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
