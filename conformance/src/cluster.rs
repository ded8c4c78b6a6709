//! A PostgreSQL cluster that exists only as arithmetic: the same seed gives the same bytes, so that what comes back from a
//! repository can be compared with what went in.

mod archive;
mod control;
mod crowd;
mod directory;
mod script;
mod source;
mod tree;
mod wal;

use swiftwal_postgres::{SegmentSize, Tablespace, Timeline};

pub use self::{
    crowd::CrowdedSource,
    source::{SourceFault, SyntheticSource},
    tree::{Entry, Tree},
};

/// A cluster on PostgreSQL 15, timeline 1, with segments of 1 MiB and a data directory of less than that, unless said
/// otherwise.
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

/// The version of PostgreSQL that a cluster pretends to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Version {
    /// The last one with a `recovery.conf`.
    V11,
    /// One with signal files.
    V15,
}

impl SyntheticCluster {
    /// The cluster of that seed; another seed is another cluster.
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

    /// The same cluster after a promotion: on the next timeline.
    #[must_use]
    pub fn promoted(&self) -> Self {
        let next = Timeline::new(self.timeline.get() + 1).unwrap_or(self.timeline);
        Self { timeline: next, ..self.clone() }
    }

    /// A cluster that was set up with segments of another size.
    #[must_use]
    pub fn with_segment_size(self, segment_size: SegmentSize) -> Self {
        Self { segment_size, ..self }
    }

    /// A cluster of another version.
    #[must_use]
    pub fn with_version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// A cluster whose largest table is that large.
    #[must_use]
    pub fn with_table_bytes(self, table_bytes: usize) -> Self {
        Self { table_bytes, ..self }
    }

    /// A cluster with one tablespace more, which lies at `location` on the server.
    #[must_use]
    pub fn with_tablespace(mut self, oid: u32, location: &str) -> Self {
        self.tablespaces.push(Tablespace { oid, location: location.to_owned() });
        self
    }

    /// A cluster with this file in its data directory, in place of one that was there.
    #[must_use]
    pub fn with_file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    /// The number that `initdb` gave it.
    #[must_use]
    pub fn system_identifier(&self) -> u64 {
        // Like a real one, beyond what a double can hold.
        0x6519_0000_0000_0001 | u64::from(self.seed) << 8
    }

    /// The timeline it is on.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.timeline
    }

    /// The size of its WAL segments.
    #[must_use]
    pub fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    /// The version it pretends to be of.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }
}

impl Version {
    /// The content of `PG_VERSION`.
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
