//! The facts that a source knows when the server has begun a base backup.

use crate::{Lsn, SegmentSize, Timeline};

/// The start of a base backup, and the facts about the server that the source knows by then. A fact that it doesn't
/// know yet is `None`; the archives contain it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupStart {
    /// The position at which recovery from this backup begins to read WAL.
    pub lsn: Lsn,
    /// The timeline of that WAL.
    pub timeline: Timeline,
    /// The system identifier of the cluster.
    pub system_identifier: Option<u64>,
    /// The server's major version, as in `PG_VERSION`: `15`, `9.6`.
    pub postgres_version: Option<String>,
    /// The size of a WAL segment.
    pub segment_size: Option<SegmentSize>,
    /// Whether the cluster's pages have checksums.
    pub data_checksums: Option<bool>,
    /// All archives of the backup: that of the data directory, and those of the tablespaces.
    pub archives: Option<Vec<ExpectedArchive>>,
}

/// An archive of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedArchive {
    /// Its tablespace; `None` for the data directory.
    pub tablespace: Option<Tablespace>,
    /// Its approximate size in bytes, without the WAL; `None` if the server wasn't asked for it.
    pub bytes: Option<u64>,
}

/// A tablespace with an archive of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// Its number: the name of its link, or of its directory, in `pg_tblspc`.
    pub oid: u32,
    /// Its directory on the server: an absolute path, or [`Self::in_place_location`].
    pub location: String,
}

impl Tablespace {
    /// Returns the location of an in-place tablespace, which is relative to the data directory: `pg_tblspc/16400`.
    #[must_use]
    pub fn in_place_location(oid: u32) -> String {
        format!("pg_tblspc/{oid}")
    }
}

impl BackupStart {
    /// Creates a start of which only the position is known.
    pub const fn new(lsn: Lsn, timeline: Timeline) -> Self {
        Self {
            lsn,
            timeline,
            system_identifier: None,
            postgres_version: None,
            segment_size: None,
            data_checksums: None,
            archives: None,
        }
    }

    /// Returns the size of all archives together, if each is known.
    pub fn expected_bytes(&self) -> Option<u64> {
        self.archives.as_ref()?.iter().map(|archive| archive.bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_all_is_known_only_if_the_size_of_each_is() {
        let of = |bytes| ExpectedArchive { tablespace: None, bytes };
        let mut start = BackupStart::new(Lsn(0), Timeline::FIRST);
        assert_eq!(start.expected_bytes(), None);
        start.archives = Some(vec![of(Some(2)), of(Some(3))]);
        assert_eq!(start.expected_bytes(), Some(5));
        start.archives = Some(vec![of(Some(2)), of(None)]);
        assert_eq!(start.expected_bytes(), None);
    }
}
