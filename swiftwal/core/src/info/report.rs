//! The report of info, as programs read it with `--json`: docs/info.md describes each field.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_postgres::{Lsn, SegmentName, Timeline};

use crate::{
    error::Error,
    repository::{cluster::ClusterIdentity, key::BackupKey, proof::Proof, record::BackupKind},
};

/// What a repository contains, and what can be done with it.
#[derive(Debug, Serialize)]
pub struct Info {
    /// The repository.
    pub location: String,
    /// The time of the report: by the storage's clock, or by this machine's if the storage can't be asked.
    pub at: Timestamp,
    /// The cluster that the repository belongs to. None if `cluster.json` is missing or can't be read.
    pub cluster: Option<ClusterIdentity>,
    /// The size of everything stored.
    pub stored_bytes: u64,
    /// The timeline that recovery follows: the one that the newest backup leads to.
    pub timeline: Option<Timeline>,
    /// The times to which that timeline can be recovered, in order. More than one if there are holes.
    pub recovery_windows: Vec<RecoveryWindow>,
    /// The timelines of which anything is stored.
    pub timelines: Vec<TimelineInfo>,
    /// The backups, as a tree: each before those that build on it.
    pub backups: Vec<BackupInfo>,
    /// The newest drill that passed.
    pub last_drill: Option<PassedProof>,
    /// The newest verify that passed.
    pub last_verify: Option<PassedProof>,
    /// How long a restore will take.
    pub restore_forecast: Option<RestoreForecast>,
    /// The WAL files that wait to be archived. None if the server's data directory isn't known.
    pub ready: Option<ReadyFiles>,
    /// What an administrator should know in addition.
    pub notices: Vec<String>,
    /// What couldn't be read. The backups among it have the error, too.
    #[serde(skip)]
    pub errors: Vec<Error>,
}

/// A time span to each moment of which the cluster can be recovered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecoveryWindow {
    /// The end of its first backup, by PostgreSQL's clock.
    pub from: Timestamp,
    /// That backup.
    pub from_backup: BackupKey,
    /// When its last WAL segment was stored, by the storage's clock, or the end of its last backup if that is later. The last
    /// transactions in that segment are somewhat older.
    pub to: Timestamp,
    /// That segment.
    pub to_wal: SegmentName,
}

/// A timeline, with its WAL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimelineInfo {
    /// The timeline.
    pub timeline: Timeline,
    /// The timeline that it branched off; none for the first one, and if its history isn't stored or is damaged.
    pub parent: Option<Timeline>,
    /// Where it branched off.
    pub branched_off_at: Option<Lsn>,
    /// Whether its history is stored, but damaged.
    pub history_is_damaged: bool,
    /// Its first stored segment.
    pub first_wal: Option<SegmentName>,
    /// Its last stored segment.
    pub last_wal: Option<SegmentName>,
    /// How many of its segments are stored.
    pub segments: u64,
    /// The size of all its WAL files, as stored.
    pub stored_bytes: u64,
    /// When the last segment was stored, by the storage's clock.
    pub last_stored: Option<Timestamp>,
    /// When the segment behind it was stored incompletely, as receive-wal does.
    pub partial_stored: Option<Timestamp>,
    /// The WAL that is missing on it.
    pub holes: Vec<Hole>,
}

/// Missing WAL, with WAL behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hole {
    /// The first missing segment.
    pub first_wal: SegmentName,
    /// The last missing segment.
    pub last_wal: SegmentName,
    /// How many there are; none if that isn't known, since the timeline changes within them.
    pub segments: Option<u64>,
    /// When receive-wal noticed that the server had removed it. None if no receive-wal did.
    pub noticed: Option<Timestamp>,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackupInfo {
    /// Its name.
    pub key: BackupKey,
    /// Whether SwiftWAL 0.2.2 wrote it. Then nothing but its size is known here.
    pub legacy: bool,
    /// Whether it is full or incremental.
    pub kind: Option<BackupKind>,
    /// The backups that a restore of it needs: the full one first, itself last.
    pub chain: Vec<BackupKey>,
    /// The label that it was given.
    pub label: Option<String>,
    /// When it was started, by PostgreSQL's clock.
    pub started: Option<Timestamp>,
    /// When it had certainly ended, by the same clock.
    pub finished: Option<Timestamp>,
    /// How long it took.
    pub seconds: Option<i64>,
    /// The size of its tars before compression.
    pub data_bytes: Option<u64>,
    /// The size of all its objects.
    pub stored_bytes: u64,
    /// `PG_VERSION` of the data directory.
    pub postgres_version: Option<String>,
    /// The timeline that it was taken on.
    pub timeline: Option<Timeline>,
    /// The first WAL segment that it needs.
    pub first_wal: Option<SegmentName>,
    /// The last WAL segment that it needs to become consistent.
    pub last_wal: Option<SegmentName>,
    /// Whether it contains that WAL.
    pub includes_wal: Option<bool>,
    /// The number of its pages that were damaged on the server.
    pub damaged_pages: Option<u64>,
    /// Whether it can be restored only as it was at its end, since the WAL behind it isn't stored.
    pub only_itself: bool,
    /// Its pin.
    pub kept: Option<Kept>,
    /// The newest result of a verify or drill.
    pub last_proof: Option<Proof>,
    /// Why it can't be restored, if that is known.
    pub problem: Option<String>,
}

/// The pin of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// When it was pinned. None if the pin can't be read, which counts as one without an end.
    pub since: Option<Timestamp>,
    /// From when on it has no effect. None for ever.
    pub until: Option<Timestamp>,
    /// Why the backup is kept.
    pub reason: Option<String>,
    /// Whether it has no effect any more.
    pub expired: bool,
}

/// A verify or drill that passed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PassedProof {
    /// The backup.
    pub backup: BackupKey,
    /// When it ended, by the storage's clock.
    pub at: Timestamp,
    /// How long it took.
    pub seconds: f64,
}

/// How long a restore of the newest backup will take, as far as the last drill tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RestoreForecast {
    /// The backup.
    pub backup: BackupKey,
    /// The seconds until the server can be used: those of the drill, times the ratio of the sizes.
    pub seconds: f64,
    /// The backup of the drill.
    pub drilled: BackupKey,
    /// When the drill ended.
    pub drilled_at: Timestamp,
}

/// The WAL files that wait for PostgreSQL's archiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReadyFiles {
    /// The server's data directory.
    pub data_directory: PathBuf,
    /// How many files wait.
    pub files: u64,
    /// How long the oldest has waited.
    pub oldest_seconds: Option<u64>,
}
