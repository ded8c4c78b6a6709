//! Refusals and exceeded time limits, each with a hint.

use std::{borrow::Cow, time::Duration};

use swiftwal_postgres::{Lsn, SegmentName, Timeline};
use thiserror::Error;

/// The reason for a refusal: the request would do harm, or can't be done as given. The [hint](Self::hint) says what to
/// do about it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The repository belongs to another PostgreSQL cluster.
    #[error(
        "{location} belongs to the PostgreSQL cluster with {what} {expected}, and this is one with {found}"
    )]
    AnotherCluster {
        /// The repository.
        location: String,
        /// What differs.
        what: &'static str,
        /// The value of the repository's cluster.
        expected: u64,
        /// The value of this cluster.
        found: u64,
    },
    /// Different content has the name of a WAL file; it was not overwritten.
    #[error("{object} is already in {location} with different content than {path}{}", why_another(*history_of))]
    AnotherContent {
        /// The stored object.
        object: String,
        /// The repository.
        location: String,
        /// The file that was to be stored.
        path: String,
        /// The timeline, if the object is a timeline's history.
        history_of: Option<Timeline>,
    },
    /// A server's WAL isn't the continuation of what was received or stored before.
    #[error(
        "the server's WAL isn't the continuation of what was received before: segment {segment} differs from {at} on. The \
         server is a copy or an earlier state of the one that wrote it; nothing of its WAL was stored"
    )]
    AnotherWal {
        /// The segment.
        segment: SegmentName,
        /// The first byte that differs.
        at: Lsn,
    },
    /// Several keys begin with the given text.
    #[error("the keys of {count} backups in {location} begin with {beginning}: {keys}")]
    AmbiguousKey {
        /// The given text.
        beginning: String,
        /// The repository.
        location: String,
        /// The number of such keys.
        count: usize,
        /// Some of them.
        keys: String,
    },
    /// An incremental backup can't be taken.
    #[error("no incremental backup can be taken: {reason}")]
    NotIncremental {
        /// The reason.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// Another process was faster, or changed what this one was using. The same command may succeed if it is tried
    /// again.
    #[error("{what}")]
    Overtaken {
        /// What happened.
        what: String,
        /// What to do.
        hint: Option<Cow<'static, str>>,
    },
    /// The storage has too little space for a backup.
    #[error("{location} has no room for this backup: {free} are free, and it would take about {expected}")]
    NoRoom {
        /// The repository.
        location: String,
        /// The free space.
        free: String,
        /// The space that the backup would take.
        expected: String,
    },
    /// The server doesn't archive its WAL.
    #[error("{what}, so the WAL that the backup needs would never arrive")]
    NotArchiving {
        /// What is wrong with its configuration.
        what: &'static str,
    },
    /// The server was promoted during the backup.
    #[error("the server went from timeline {from} to {to} during the backup")]
    Promoted {
        /// The timeline on which the backup began.
        from: Timeline,
        /// That on which it ended.
        to: Timeline,
    },
    /// The standby whose backup is taken was promoted during the copy.
    #[error("the standby was promoted during the backup, so the backup can't be used")]
    StandbyPromoted,
    /// A backup that would be kept can't be restored, so nothing is removed.
    #[error("backup {key}, which would be kept, {what}. Nothing was pruned")]
    Unrestorable {
        /// The backup.
        key: String,
        /// What is missing.
        what: String,
        /// What to do.
        hint: String,
    },
    /// A backup that was to be deleted is needed.
    #[error("backup {key} is not deleted: {why}")]
    NeededBackup {
        /// The backup.
        key: String,
        /// What needs it.
        why: String,
        /// What to do.
        hint: Cow<'static, str>,
    },
    /// No backup shows which WAL it needs, so nothing is removed.
    #[error(
        "it isn't known which WAL the backups need, so nothing is removed; the reason for the oldest, {key}: {reason}"
    )]
    NeedsUnknown {
        /// The oldest backup.
        key: String,
        /// Why that is unknown.
        reason: String,
        /// Its object.
        object: String,
    },
    /// There is no backup, so it isn't known which WAL is needed.
    #[error("there is no backup in {location}, so no WAL is removed")]
    NoBackup {
        /// The repository.
        location: String,
    },
    /// A timeline doesn't exist, is needed, or may be needed.
    #[error("{what}")]
    Timeline {
        /// The given timeline.
        timeline: Timeline,
        /// What is known about it.
        what: String,
        /// What to do.
        hint: Option<Cow<'static, str>>,
    },
    /// The given backup doesn't lead to the target.
    #[error("backup {key} can't be used: {reason}")]
    Unsuitable {
        /// The backup.
        key: String,
        /// The reason.
        reason: String,
    },
    /// The given backup lacks something without which it can't be restored.
    #[error("backup {key} can't be used: {reason}")]
    Incomplete {
        /// The backup.
        key: String,
        /// What is missing.
        reason: String,
    },
    /// No backup leads to the target.
    #[error("no backup in {location} can {goal}; the reason for the oldest one, {oldest}: {reason}")]
    OutOfReach {
        /// The repository.
        location: String,
        /// The goal of the restore.
        goal: &'static str,
        /// The oldest backup.
        oldest: String,
        /// Why it doesn't lead there.
        reason: String,
    },
    /// Only a person can decide which timeline contains the newest data.
    #[error("{question}")]
    Undecided {
        /// The doubt, and every timeline with the option that chooses it.
        question: String,
    },
    /// A directory that can't be used for a restore.
    #[error("{what}")]
    Destination {
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: Option<Cow<'static, str>>,
    },
    /// A file appeared in a directory during the restore, and was left alone.
    #[error("{path} appeared while the backup was being restored, and was left alone")]
    Appeared {
        /// The file.
        path: String,
    },
    /// Tablespaces for which no directory was given.
    #[error("the backup has {}, outside the data directory", tablespaces(places))]
    Tablespaces {
        /// Their original locations.
        places: Vec<String>,
    },
    /// A text that isn't a point in time to recover to.
    #[error("'{text}' is not a point in time to recover to: {problem}")]
    TargetTime {
        /// The text.
        text: String,
        /// What is wrong with it, and what would be correct.
        problem: String,
    },
}

/// A wait that exceeded its limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Overdue {
    /// The server didn't begin to send a base backup.
    #[error("PostgreSQL sent nothing for {} s after the base backup was asked for", limit.as_secs())]
    Start {
        /// The limit.
        limit: Duration,
    },
    /// The server stopped sending in the middle of a base backup.
    #[error("PostgreSQL sent nothing for {} s in the middle of the base backup", limit.as_secs())]
    Middle {
        /// The limit.
        limit: Duration,
    },
    /// The server sent the data directory, but not the end of the base backup.
    #[error("PostgreSQL sent nothing for {} s after the data directory", limit.as_secs())]
    End {
        /// The limit.
        limit: Duration,
    },
    /// WAL that a backup needs wasn't archived in time.
    #[error(
        "the backup needs WAL segment {segment}, which didn't arrive in {location} within {} s; the backup was abandoned. \
         {cause}",
        limit.as_secs()
    )]
    Wal {
        /// The first missing segment.
        segment: SegmentName,
        /// The repository.
        location: String,
        /// The limit.
        limit: Duration,
        /// The probable cause, and what to do about it.
        cause: String,
    },
    /// The WAL positions of PostgreSQL are exhausted.
    #[error("PostgreSQL has used up its WAL positions")]
    NoPositions,
}

impl Refusal {
    /// Returns what to do.
    #[must_use]
    pub fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::AnotherCluster { .. } => "give each cluster a repository of its own",
            Self::AnotherContent { history_of: Some(timeline), .. } => {
                return Some(
                    format!(
                        "archive this server into a repository of its own and take a backup there, or, if the other \
                         server was a mistake, remove its timeline with: swiftwal timeline discard {timeline}"
                    )
                    .into(),
                );
            }
            Self::AnotherContent { history_of: None, .. } => {
                "it was not overwritten: only if you are sure that the file here is the right one, use --force"
            }
            Self::AnotherWal { .. } => {
                "connect to the right server; or, if this one takes its place, store its WAL in a repository of its own, with \
                 an empty --spool, and take a backup there. If it is the right one, the segment's .partial file in the spool \
                 may be damaged: move it away"
            }
            Self::AmbiguousKey { .. } => "give a longer prefix of the key",
            Self::NotIncremental { hint, .. } => hint,
            Self::NoRoom { .. } => "free some space there, prune old backups, or use another place",
            Self::NotArchiving { .. } => {
                "set archive_mode = on, and archive_command to swiftwal's archive-wal with this repository, or use --xlog, \
                 which puts the WAL into the backup"
            }
            Self::Promoted { .. } => "take another backup",
            Self::StandbyPromoted => {
                "take the backup again, of this server or of a standby that isn't promoted"
            }
            Self::Unrestorable { hint, .. } => hint,
            Self::NeededBackup { hint, .. } => hint,
            Self::NeedsUnknown { object, .. } => {
                return Some(
                    format!(
                        "take a new backup; or delete {object}, if SwiftWAL 0.2.2 reported at the time that the backup had failed"
                    )
                    .into(),
                );
            }
            Self::NoBackup { .. } => "take a backup first",
            Self::Undecided { .. } => {
                "If one of them was a mistake, such as the timeline of a copy that was started for a test, discard it: see \
                 swiftwal timeline discard --help"
            }
            Self::Appeared { .. } => {
                "find out which process writes there, and restore into another directory"
            }
            Self::Tablespaces { .. } => {
                "give --tablespace-mapping OLD=NEW for each, or --tablespaces-in-place to restore them to their original location"
            }
            Self::Overtaken { hint, .. } | Self::Timeline { hint, .. } | Self::Destination { hint, .. } => {
                return hint.as_deref().map(Cow::Borrowed);
            }
            Self::Unsuitable { .. }
            | Self::Incomplete { .. }
            | Self::OutOfReach { .. }
            | Self::TargetTime { .. } => return None,
        }))
    }

    /// Creates [`Overtaken`](Self::Overtaken) with a hint.
    pub(crate) fn overtaken(what: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Overtaken { what: what.into(), hint: Some(hint.into()) }
    }

    /// Creates [`NeededBackup`](Self::NeededBackup).
    pub(crate) fn needed_backup(
        key: impl ToString,
        why: impl Into<String>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::NeededBackup { key: key.to_string(), why: why.into(), hint: hint.into() }
    }

    /// Creates [`NotIncremental`](Self::NotIncremental).
    pub(crate) fn not_incremental(reason: impl Into<String>, hint: &'static str) -> Self {
        Self::NotIncremental { reason: reason.into(), hint }
    }

    /// Creates [`Destination`](Self::Destination) with a hint.
    pub(crate) fn destination(what: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Destination { what: what.into(), hint: Some(hint.into()) }
    }

    /// Creates [`Timeline`](Self::Timeline) with a hint.
    pub(crate) fn timeline(
        timeline: Timeline,
        what: impl Into<String>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Timeline { timeline, what: what.into(), hint: Some(hint.into()) }
    }
}

impl Overdue {
    /// Returns what to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Start { .. } => {
                Some("a spread checkpoint takes long; with -c fast the server takes it at once")
            }
            Self::Middle { .. } => Some("see the server's log"),
            Self::End { .. } => {
                Some("the server may be waiting for its archiver: see the server's log and pg_stat_archiver")
            }
            Self::Wal { .. } => Some("with --xlog the WAL is in the backup itself"),
            Self::NoPositions => None,
        }
    }
}

fn why_another(history_of: Option<Timeline>) -> String {
    match history_of {
        Some(timeline) => format!(
            ": another server has taken timeline {timeline}, most likely because one of the two was promoted while it \
             couldn't ask the repository which timelines are in use. Nothing was overwritten"
        ),
        None => "; most likely two clusters archive into one repository".to_owned(),
    }
}

fn tablespaces(places: &[String]) -> String {
    let noun = if places.len() == 1 { "the tablespace" } else { "the tablespaces" };
    format!("{noun} {}", places.join(", "))
}
