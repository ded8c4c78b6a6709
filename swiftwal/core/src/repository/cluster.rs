//! `cluster.json`: the identity of the PostgreSQL cluster that the repository belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use swiftwal_compression::Format;
use swiftwal_postgres::{BackupStart, ControlFile, SegmentHeader, SegmentSize, ServerFacts};

use crate::{
    error::{Error, Refusal, Result},
    repository::{
        layout::ObjectName, record::BackupRecord, requirements::Requirements, stored_json::refuse_newer,
    },
};

/// The identity of the PostgreSQL cluster that a repository belongs to, with the compressions in use. The first
/// archive-wal or backup writes it; every later one is checked against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// The version of the repository's format.
    pub format: u32,
    /// The identity of the cluster.
    #[serde(flatten)]
    pub identity: ClusterIdentity,
    /// Every compression that a WAL file in the repository may have.
    pub wal_formats: BTreeSet<Format>,
    /// Fields of a newer version, which are kept when the file is rewritten.
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// The identity of a PostgreSQL cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// The cluster's system identifier.
    #[serde(with = "crate::repository::decimal")]
    pub system_identifier: u64,
    /// PostgreSQL's version when the repository was created, if known: `15`, `9.6`. It is informational.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres_version: Option<String>,
    /// The size of a WAL segment.
    pub wal_segment_bytes: SegmentSize,
}

impl ClusterIdentity {
    /// Returns the identity of the server that reported `facts`; None if they lack the segment size.
    pub(crate) fn of_server(facts: &ServerFacts) -> Option<Self> {
        Some(Self {
            system_identifier: facts.system_identifier,
            postgres_version: facts.postgres_version.clone(),
            wal_segment_bytes: facts.segment_size?,
        })
    }

    /// Returns the identity of the server that began a backup; None if its source doesn't know the system identifier yet.
    pub(crate) fn of_start(start: &BackupStart, wal_segment_bytes: SegmentSize) -> Option<Self> {
        Some(Self {
            system_identifier: start.system_identifier?,
            postgres_version: start.postgres_version.clone(),
            wal_segment_bytes,
        })
    }

    /// Returns the identity in a control file, which doesn't contain PostgreSQL's version.
    pub(crate) fn of_control_file(control: &ControlFile) -> Self {
        Self {
            system_identifier: control.system_identifier,
            postgres_version: None,
            wal_segment_bytes: control.segment_size,
        }
    }

    /// Returns the identity in the header of a WAL segment.
    pub(crate) fn of_segment(header: &SegmentHeader) -> Self {
        Self {
            system_identifier: header.system_identifier,
            postgres_version: header.major_version().map(|version| version.to_string()),
            wal_segment_bytes: header.segment_size,
        }
    }

    /// Returns the identity in a commit record.
    pub(crate) fn of_record(record: &BackupRecord) -> Self {
        Self {
            system_identifier: record.system_identifier,
            postgres_version: Some(record.postgres_version.clone()),
            wal_segment_bytes: record.wal_segment_bytes,
        }
    }
}

impl ClusterInfo {
    /// The newest format version that this program reads, and the one it writes.
    pub const FORMAT: u32 = 1;

    /// Creates the identity of a repository that becomes this cluster's.
    pub(crate) fn new(identity: ClusterIdentity, wal_formats: BTreeSet<Format>) -> Self {
        Self { format: Self::FORMAT, identity, wal_formats, more: BTreeMap::new() }
    }

    /// Parses `bytes`, which were read from the object `name`.
    ///
    /// # Errors
    ///
    /// [`Error::NewerFormat`], [`Error::NotUnderstood`], [`Error::Damaged`].
    pub(crate) fn from_bytes(name: &ObjectName, bytes: &[u8]) -> Result<Self> {
        refuse_newer(name, bytes, Self::FORMAT)?;
        Requirements::check(name, bytes)?;
        serde_json::from_slice(bytes).map_err(|error| Error::damaged(name, error))
    }

    /// Checks that the cluster `other` may use this repository.
    ///
    /// # Errors
    ///
    /// [`Refusal::AnotherCluster`] if the system identifier or the segment size differs.
    pub(crate) fn check(&self, other: &ClusterIdentity, location: &str) -> Result<(), Refusal> {
        let ours = &self.identity;
        let (what, expected, found) = if ours.system_identifier != other.system_identifier {
            ("system identifier", ours.system_identifier, other.system_identifier)
        } else if ours.wal_segment_bytes != other.wal_segment_bytes {
            ("WAL segment size", ours.wal_segment_bytes.bytes(), other.wal_segment_bytes.bytes())
        } else {
            return Ok(());
        };
        Err(Refusal::AnotherCluster { location: location.to_owned(), what, expected, found })
    }
}
