//! What was refused, why, and what to do instead.

use std::{borrow::Cow, time::Duration};

use swiftwal_postgres::{SegmentName, Timeline};
use thiserror::Error;

/// Why something was refused that would do harm or can't be done as asked. The [hint](Self::hint) says what to do.
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
        /// What the repository's cluster has.
        expected: u64,
        /// What this cluster has.
        found: u64,
    },
    /// The name of a WAL file is taken by another content; it was not overwritten.
    #[error("{object} is already in {location} with different content than {path}{}", why_another(*history_of))]
    AnotherContent {
        /// The stored object.
        object: String,
        /// The repository.
        location: String,
        /// The file that was to be stored.
        path: String,
        /// The timeline, where it is the history of one.
        history_of: Option<Timeline>,
    },
    /// Several keys begin with what was given.
    #[error("the keys of {count} backups in {location} begin with {beginning}: {keys}")]
    AmbiguousKey {
        /// What was given.
        beginning: String,
        /// The repository.
        location: String,
        /// How many keys begin so.
        count: usize,
        /// Some of them.
        keys: String,
    },
    /// An incremental backup, which this version can't restore.
    #[error("backup {key} is incremental{}, and this version restores full backups only", built_on(parent.as_deref()))]
    Incremental {
        /// The backup.
        key: String,
        /// The backup that it builds on.
        parent: Option<String>,
    },
    /// Another process was faster, or changed what this one was using. The same may succeed if it is tried again.
    #[error("{what}")]
    Overtaken {
        /// What happened.
        what: String,
        /// What to do.
        hint: Option<Cow<'static, str>>,
    },
    /// The storage has no room for a backup.
    #[error("{location} has no room for this backup: {free} are free, and it would take about {expected}")]
    NoRoom {
        /// The repository.
        location: String,
        /// What is free.
        free: String,
        /// What the backup would take.
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
    /// No backup tells which WAL it needs, so nothing is removed.
    #[error(
        "none of the backups tells which WAL it needs, so nothing is removed; of the first, {key}: {reason}"
    )]
    NeedsUnknown {
        /// The oldest backup.
        key: String,
        /// Why it doesn't.
        reason: String,
        /// Its object.
        object: String,
    },
    /// There is no backup, so nothing tells which WAL is needed.
    #[error("there is no backup in {location}, so no WAL is removed")]
    NoBackup {
        /// The repository.
        location: String,
    },
    /// A timeline that isn't there, is needed, or may be needed.
    #[error("{what}")]
    Timeline {
        /// The timeline that was asked for.
        timeline: Timeline,
        /// What is known of it.
        what: String,
        /// What to do.
        hint: Option<Cow<'static, str>>,
    },
    /// The backup that was asked for doesn't lead to the target.
    #[error("backup {key} can't be used: {reason}")]
    Unsuitable {
        /// The backup.
        key: String,
        /// Why not.
        reason: String,
    },
    /// No backup leads to the target.
    #[error("no backup in {location} can {goal}; the reason for the oldest one, {oldest}: {reason}")]
    OutOfReach {
        /// The repository.
        location: String,
        /// What was asked for.
        goal: &'static str,
        /// The oldest backup.
        oldest: String,
        /// Why it doesn't lead there.
        reason: String,
    },
    /// Only a person can say which timeline holds the newest data.
    #[error("{question}")]
    Undecided {
        /// What is in doubt, and every timeline with the option that chooses it.
        question: String,
    },
    /// A directory can't be restored into.
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
        /// Where they were.
        places: Vec<String>,
    },
    /// A text that is no point in time to recover to. It says what to write instead.
    #[error("'{text}' is not a point in time to recover to: {problem}")]
    TargetTime {
        /// The text.
        text: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

/// What took longer than its limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Overdue {
    /// The server didn't begin to send a base backup.
    #[error("PostgreSQL sent nothing for {} s after the base backup was asked for", limit.as_secs())]
    Start {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server stopped sending in the middle of a base backup.
    #[error("PostgreSQL sent nothing for {} s in the middle of the base backup", limit.as_secs())]
    Middle {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The server sent the data directory, and not the end of the base backup.
    #[error("PostgreSQL sent nothing for {} s after the data directory", limit.as_secs())]
    End {
        /// How long it was waited for.
        limit: Duration,
    },
    /// WAL that a backup needs wasn't archived.
    #[error(
        "the backup needs WAL segment {segment}, which didn't arrive in {location} within {} s; the backup was abandoned. \
         {cause}",
        limit.as_secs()
    )]
    Wal {
        /// The first segment that is missing.
        segment: SegmentName,
        /// The repository.
        location: String,
        /// How long it was waited for.
        limit: Duration,
        /// The probable cause, and what to do about it.
        cause: String,
    },
    /// There is no WAL after the end of what an LSN can tell.
    #[error("PostgreSQL has no more WAL positions to give")]
    NoPositions,
}

impl Refusal {
    /// What to do.
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
            Self::AmbiguousKey { .. } => "give a longer prefix of the key",
            Self::Incremental { .. } => "use a newer swiftwal, or restore a full backup by its key",
            Self::NoRoom { .. } => "free some space there, prune old backups, or use another place",
            Self::NotArchiving { .. } => {
                "set archive_mode = on, and archive_command to swiftwal's archive-wal with this repository, or use --xlog, \
                 which puts the WAL into the backup"
            }
            Self::Promoted { .. } => "take another backup",
            Self::Unrestorable { hint, .. } => hint,
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
            Self::Unsuitable { .. } | Self::OutOfReach { .. } | Self::TargetTime { .. } => return None,
        }))
    }

    /// [`Overtaken`](Self::Overtaken), with what to do.
    pub(crate) fn overtaken(what: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Overtaken { what: what.into(), hint: Some(hint.into()) }
    }

    /// [`Destination`](Self::Destination), with what to do.
    pub(crate) fn destination(what: impl Into<String>, hint: impl Into<Cow<'static, str>>) -> Self {
        Self::Destination { what: what.into(), hint: Some(hint.into()) }
    }

    /// [`Timeline`](Self::Timeline), with what to do.
    pub(crate) fn timeline(
        timeline: Timeline,
        what: impl Into<String>,
        hint: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Timeline { timeline, what: what.into(), hint: Some(hint.into()) }
    }
}

impl Overdue {
    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Start { .. } => Some("a spread checkpoint takes long; -c fast makes it quick"),
            Self::Middle { .. } => Some("see its log"),
            Self::End { .. } => {
                Some("perhaps the server waits for its archiver: see its log and pg_stat_archiver")
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

fn built_on(parent: Option<&str>) -> String {
    parent.map_or_else(String::new, |parent| format!(" (it builds on {parent})"))
}

fn tablespaces(places: &[String]) -> String {
    let noun = if places.len() == 1 { "the tablespace" } else { "the tablespaces" };
    format!("{noun} {}", places.join(", "))
}
