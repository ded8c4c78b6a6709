//! A synthetic PostgreSQL cluster: the same seed gives the same bytes, so that a scenario can compare what it restores
//! with what it backed up.

mod archive;
mod control;
mod crowd;
mod directory;
mod script;
mod source;
mod tree;
mod wal;

use swiftwal_postgres::{SegmentSize, Tablespace, Timeline};

pub(crate) use self::{archive::tar, source::incremental};
pub use self::{
    crowd::CrowdedSource,
    source::{SourceFault, SyntheticSource},
    tree::{Entry, Tree},
};

/// A cluster with PostgreSQL 15, timeline 1, segments of 1 MiB and a data directory of less than that, unless changed.
#[derive(Clone, Debug)]
pub struct SyntheticCluster {
    seed: u32,
    timeline: Timeline,
    segment_size: SegmentSize,
    version: Version,
    table_bytes: usize,
    tablespaces: Vec<Tablespace>,
    files: Vec<(String, String)>,
}

/// The PostgreSQL version of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// The last version with a `recovery.conf`.
    V11,
    /// A version with signal files.
    V15,
}

impl SyntheticCluster {
    /// Creates the cluster with this seed. Different seeds give different clusters.
    #[must_use]
    pub fn new(seed: u32) -> Self {
        Self {
            seed,
            timeline: Timeline::FIRST,
            segment_size: SegmentSize::new(1 << 20).unwrap_or_default(),
            version: Version::V15,
            table_bytes: 300_000,
            tablespaces: Vec::new(),
            files: Vec::new(),
        }
    }

    /// Returns the cluster after a promotion, on the next timeline.
    #[must_use]
    pub fn promoted(&self) -> Self {
        let next = Timeline::new(self.timeline.get() + 1).unwrap_or(self.timeline);
        Self { timeline: next, ..self.clone() }
    }

    /// Returns the cluster with another segment size.
    #[must_use]
    pub fn with_segment_size(self, segment_size: SegmentSize) -> Self {
        Self { segment_size, ..self }
    }

    /// Returns the cluster with another version.
    #[must_use]
    pub fn with_version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Returns the cluster with a largest table of this size.
    #[must_use]
    pub fn with_table_bytes(self, table_bytes: usize) -> Self {
        Self { table_bytes, ..self }
    }

    /// Returns the cluster with one more tablespace, whose location on the server is `location`: `pg_tblspc/<oid>` for an
    /// in-place one.
    #[must_use]
    pub fn with_tablespace(mut self, oid: u32, location: &str) -> Self {
        self.tablespaces.push(Tablespace { oid, location: location.to_owned() });
        self
    }

    /// Returns the cluster with this file in its data directory, in place of an existing one.
    #[must_use]
    pub fn with_file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Returns the system identifier.
    #[must_use]
    pub fn system_identifier(&self) -> u64 {
        // Like a real one, it doesn't fit into a double.
        0x6519_0000_0000_0001 | u64::from(self.seed) << 8
    }

    /// Returns the current timeline.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// Returns the size of its WAL segments.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    /// Returns the version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

impl Version {
    /// Returns the content of `PG_VERSION`.
    #[must_use]
    pub fn number(self) -> &'static str {
        match self {
            Self::V11 => "11",
            Self::V15 => "15",
        }
    }

    fn wal_magic(self) -> u16 {
        match self {
            Self::V11 => 0xD098,
            Self::V15 => 0xD110,
        }
    }
}
