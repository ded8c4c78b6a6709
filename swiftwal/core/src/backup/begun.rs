//! The facts about a base backup once the server has begun it: its cluster, the WAL it will need, and the archives that
//! will come. Some sources know part of that only later, from the archives.

use jiff::Timestamp;
use swiftwal_postgres::{
    BackupLabel, BackupStart, ControlFile, ControlFileError, SegmentName, SegmentSize, Tablespace,
};
use tokio::time::Instant;

use super::claim::Claim;
use crate::{
    error::{Error, Result},
    repository::{Repository, cluster::ClusterIdentity},
};

/// A base backup that the server has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) start: BackupStart,
    /// When the start was reported to us.
    pub(super) seen: Instant,
    /// The storage's time at that moment.
    pub(super) storage: Timestamp,
    /// The announced archives that haven't come yet.
    missing: Vec<Option<Tablespace>>,
}

impl Begun {
    pub(super) fn new(start: BackupStart, storage: Timestamp) -> Self {
        let announced = start.archives.iter().flatten();
        let missing = announced.map(|archive| archive.tablespace.clone()).collect();
        Self { start, seen: Instant::now(), storage, missing }
    }

    /// Records that an archive has begun.
    pub(super) fn note_archive(&mut self, tablespace: Option<&Tablespace>) {
        let oid = |tablespace: Option<&Tablespace>| tablespace.map(|tablespace| tablespace.oid);
        self.missing.retain(|missing| oid(missing.as_ref()) != oid(tablespace));
    }

    /// Fails if an announced archive is missing.
    pub(super) fn check_complete(&self) -> Result<()> {
        let Some(missing) = self.missing.first() else { return Ok(()) };
        let what = match missing {
            Some(tablespace) => format!("the tablespace {}, {}", tablespace.oid, tablespace.location),
            None => "the data directory".to_owned(),
        };
        Err(Error::damaged("the base backup", format!("it lacks {what}")))
    }

    /// Fails if `label` has another start position than this backup.
    pub(super) fn check_label(&self, label: &BackupLabel) -> Result<()> {
        let BackupStart { lsn, timeline, .. } = self.start;
        if (label.start_lsn(), label.start_timeline()) == (lsn, timeline) {
            return Ok(());
        }
        let reason = format!(
            "it says that the backup starts at {} on timeline {}, but the server reported {lsn} on timeline {timeline}",
            label.start_lsn(),
            label.start_timeline()
        );
        Err(Error::damaged("backup_label", reason))
    }

    /// Returns the cluster of the backup and the first segment that it needs: from what the source knew at the start,
    /// or from `control`, the first bytes of `global/pg_control`. None if neither is known.
    pub(super) fn cluster_and_wal(
        &self,
        control: Option<&[u8]>,
    ) -> Result<Option<(ClusterIdentity, SegmentName)>> {
        let known = self.start.segment_size.and_then(|size| ClusterIdentity::of_start(&self.start, size));
        let identity = match (known, control) {
            (Some(identity), _) => identity,
            (None, Some(control)) => {
                match ControlFile::parse(control) {
                    Ok(control) => ClusterIdentity::of_control_file(&control),
                    // More of it will arrive.
                    Err(ControlFileError::TooShort { .. }) => return Ok(None),
                    Err(error) => return Err(Error::damaged("global/pg_control", error)),
                }
            }
            (None, None) => return Ok(None),
        };
        let first = first_wal(&self.start, identity.wal_segment_bytes);
        Ok(Some((identity, first)))
    }
}

/// Checks a backup that the server has begun, before anything of it is stored: that it belongs to the repository's
/// cluster. Assigns a new repository to that cluster, and records for prune which WAL the backup will need. What the
/// source doesn't know yet is checked later.
///
/// # Errors
///
/// [`Error::Refused`] for a repository of another cluster.
pub(super) async fn admit(start: &BackupStart, repository: &Repository, claim: &Claim<'_>) -> Result<()> {
    let cluster = repository.cluster_once().await?;
    // If the backup is of another cluster, it is refused below, or as soon as that is known.
    let assumed = cluster.map(|cluster| cluster.identity.wal_segment_bytes);
    let Some(size) = start.segment_size.or(assumed) else { return Ok(()) };
    if let Some(identity) = ClusterIdentity::of_start(start, size) {
        repository.ensure_cluster(Some(&identity), None).await?;
    }
    claim.begin_at(first_wal(start, size), start.lsn).await
}

fn first_wal(start: &BackupStart, size: SegmentSize) -> SegmentName {
    SegmentName::containing(start.timeline, start.lsn, size)
}

#[cfg(test)]
mod tests {
    use swiftwal_postgres::Timeline;

    use super::*;

    #[test]
    fn the_first_bytes_of_a_control_file_say_nothing_yet() {
        let start = BackupStart::new("0/2000028".parse().unwrap(), Timeline::FIRST);
        let begun = Begun::new(start, Timestamp::UNIX_EPOCH);
        assert!(begun.cluster_and_wal(Some(&[0; 100])).unwrap().is_none());
        assert!(begun.cluster_and_wal(Some(&[0; 8192])).is_err());
    }
}
