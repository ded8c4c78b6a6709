//! The commit record of a backup. A backup exists only if it has one.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use swiftwal_postgres::{Database, Lsn, SegmentName, SegmentSize, Tablespace, Timeline, printable};

use crate::{
    error::{Error, Result},
    repository::{
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        requirements::Requirements,
        stored_json::{seal, unseal},
    },
};

/// The commit record of a backup. It is written last: a backup without one doesn't exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackupRecord {
    /// The backup's name.
    pub key: BackupKey,
    /// Whether it is a full backup.
    pub kind: BackupKind,
    /// The backup that an incremental one builds on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<BackupKey>,
    /// The label that the backup was given.
    pub label: String,
    /// When it was started, by PostgreSQL's clock.
    pub started: Timestamp,
    /// A time, by the same clock, at which it had certainly ended: recovery can't stop before it.
    pub finished: Timestamp,
    /// The cluster's system identifier.
    #[serde(with = "crate::repository::decimal")]
    pub system_identifier: u64,
    /// `PG_VERSION` of the data directory: `15`, `9.6`.
    pub postgres_version: String,
    /// The size of a WAL segment.
    pub wal_segment_bytes: SegmentSize,
    /// The timeline it was taken on.
    pub timeline: Timeline,
    /// The LSN at which recovery begins.
    pub start_lsn: Lsn,
    /// The LSN at which the backup becomes consistent.
    pub stop_lsn: Lsn,
    /// The first WAL segment that recovery needs.
    pub first_wal: SegmentName,
    /// The last WAL segment that it needs to become consistent.
    pub last_wal: SegmentName,
    /// Whether that WAL is also included in the backup.
    pub includes_wal: bool,
    /// The number of pages that failed their checksum when the server sent them: they are damaged in the backup, too.
    #[serde(default)]
    pub damaged_pages: u64,
    /// The server's words about these pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
    /// The cluster's databases; none if the server couldn't be asked for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Vec<Database>>,
    /// Every other object of the backup.
    pub objects: Vec<RecordedObject>,
    /// The program that wrote it.
    pub written_by: String,
}

/// The kind of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum BackupKind {
    /// It contains every file completely.
    Full,
    /// It needs its parent.
    Incremental,
}

/// An object of a backup, as the storage acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedObject {
    /// The object's name.
    pub name: String,
    /// Its size as stored.
    pub bytes: u64,
    /// The BLAKE3 hash of its stored bytes, in hex.
    pub blake3: String,
    /// For a tar, its size before compression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tar_bytes: Option<u64>,
    /// For a tablespace's tar, the tablespace's location on the server. That of an in-place tablespace is relative to
    /// the data directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tablespace_location: Option<String>,
}

impl RecordedObject {
    /// Returns the part of the backup that the object is.
    #[must_use]
    pub fn part(&self) -> Option<BackupPart> {
        match ObjectName::parse(&self.name) {
            ObjectName::Backup { part, .. } => Some(part),
            _ => None,
        }
    }

    /// For the tar of an in-place tablespace, returns its directory in the data directory: `pg_tblspc/16400`.
    pub(crate) fn in_place_directory(&self) -> Option<&str> {
        let Some(BackupPart::Tar { tablespace: Some(oid), .. }) = self.part() else { return None };
        self.tablespace_location.as_deref().filter(|location| *location == Tablespace::in_place_location(oid))
    }
}

impl BackupRecord {
    /// The newest format version that this program reads, and the one it writes.
    pub const FORMAT: u32 = 1;

    /// Returns the name of the record's object.
    #[must_use]
    pub fn object_name(key: BackupKey) -> ObjectName {
        ObjectName::Backup { key, part: BackupPart::Record }
    }

    /// Says that the backup contains damaged pages, with the server's words; none if it doesn't.
    #[must_use]
    pub fn damage_notice(&self) -> Option<String> {
        let pages = match self.damaged_pages {
            0 => return None,
            1 => "a page that was".to_owned(),
            count => format!("{count} pages that were"),
        };
        let words = self.damage.as_ref().map(|words| format!(" ({words})"));
        let words = words.unwrap_or_default();
        Some(format!("backup {} contains {pages} already damaged on the server{words}", self.key))
    }

    /// Returns the bytes to store.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        seal(Self::FORMAT, "backup", self)
    }

    /// Parses `bytes`, which were read from the record object of `key`.
    ///
    /// # Errors
    ///
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`], [`Error::Foreign`] for the record of another backup, and
    /// [`Error::Damaged`] if any bit has changed.
    pub(crate) fn from_bytes(key: BackupKey, bytes: &[u8]) -> Result<Self> {
        let name = &Self::object_name(key);
        let content = unseal(name, bytes, Self::FORMAT)?;
        Requirements::check(name, content.as_bytes())?;
        let record: Self = serde_json::from_str(content).map_err(|error| Error::damaged(name, error))?;
        record.refuse_other(key)?;
        Ok(record)
    }

    /// Refuses the record of another backup than `key`, and one with an object that this program can't assign.
    fn refuse_other(&self, key: BackupKey) -> Result<()> {
        let object = || Self::object_name(key).to_string();
        let foreign = |reason| Err(Error::Foreign { object: object(), reason });
        if self.key != key {
            return foreign(format!("it is the record of backup {}", self.key));
        }
        for recorded in &self.objects {
            match ObjectName::parse(&recorded.name) {
                ObjectName::Backup { key: other, .. } if other != key => {
                    return foreign(format!("it names {}, an object of another backup", recorded.name));
                }
                ObjectName::Backup { part: BackupPart::Tar { .. }, .. } => {}
                // It is data that wouldn't be restored.
                _ if recorded.tar_bytes.is_some() => {
                    let feature = format!("the tar '{}'", printable(&recorded.name));
                    return Err(Error::NotUnderstood { object: object(), feature });
                }
                _ => {}
            }
        }
        self.refuse_incomplete()
    }

    /// Refuses a record that lacks one of a tar's objects: the others would be restored as if they were the complete
    /// tar.
    fn refuse_incomplete(&self) -> Result<()> {
        let mut tars: BTreeMap<Option<u32>, BTreeSet<u32>> = BTreeMap::new();
        for object in &self.objects {
            if let Some(BackupPart::Tar { tablespace, piece, .. }) = object.part() {
                tars.entry(tablespace).or_default().insert(piece);
            }
        }
        let missing = tars.values().find_map(|pieces| {
            (1..).find(|piece| !pieces.contains(piece)).filter(|piece| pieces.last() > Some(piece))
        });
        match missing {
            Some(missing) => {
                let reason = format!("it doesn't name object {missing} of a tar");
                Err(Error::damaged(Self::object_name(self.key), reason))
            }
            None => Ok(()),
        }
    }
}
