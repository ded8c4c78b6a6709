//! Measures backup and restore, beside the same work by `pg_basebackup`, `zstd` and `tar`.

use std::path::Path;

use anyhow::Result;

use super::measure::{Job, Measured};
use super::table::{self, Limits, Row};
use super::{Bench, Work};

/// Where backups are stored, and how the other tools store and fetch them there.
pub(crate) struct Place {
    name: &'static str,
    /// The program with the options for this place.
    swiftwal: &'static str,
    /// The end of the other tools' backup pipeline.
    keep: &'static str,
    /// The beginning of the other tools' restore pipeline.
    fetch: &'static str,
    shown_keep: &'static str,
    shown_fetch: &'static str,
    wall_limit: f64,
}

impl Place {
    pub(crate) const FILE: Self = Self {
        name: "a directory",
        swiftwal: "./swiftwal --repository file://$PWD/repository",
        keep: "> base.tar.zst; sync base.tar.zst",
        fetch: "cat base.tar.zst",
        shown_keep: "> FILE; sync FILE",
        shown_fetch: "cat FILE",
        wall_limit: 1.0,
    };
    /// Uses the files that [`start`](super::swift::start) writes.
    pub(crate) const SWIFT: Self = Self {
        name: "Swift",
        swiftwal: "./swiftwal -c v1.conf -C backups",
        keep: "| (source ./v1.sh; swift plain/base.tar.zst -T -)",
        fetch: "(source ./v1.sh; swift plain/base.tar.zst)",
        shown_keep: "| curl -T - URL",
        shown_fetch: "curl URL",
        wall_limit: 0.95,
    };
    /// Uses the files that [`start`](super::ceph::start) writes.
    pub(crate) const CEPH: Self = Self {
        name: "Ceph",
        swiftwal: "./swiftwal -c radosgw.conf -C backups",
        keep: "| (source ./radosgw.sh; swift plain/base.tar.zst -T -)",
        fetch: "(source ./radosgw.sh; swift plain/base.tar.zst)",
        ..Self::SWIFT
    };
}

impl Bench {
    /// Measures a base backup of the cluster as it is, and its restore.
    pub(crate) fn backup_and_restore(&self, place: &Place) -> Result<()> {
        let bytes = self.postgres.sql("select sum(pg_database_size(oid)) from pg_database")?;
        let size = format!("{:.1} GB", bytes.parse::<f64>()? / 1e9);
        let backup = place.backup();
        if self.does(Work::Backup) {
            let tool = format!("pg_basebackup -Ft -D - -X none -c fast | zstd -1 -T2 {}", place.shown_keep);
            let job = format!("backup of {size} to {}", place.name);
            table::row(&place.row(job, tool, self.in_turns(backup.each_ref())?));
        } else {
            self.in_turns(backup.each_ref())?;
        }
        if self.does(Work::Restore) {
            let tool = format!("{} | zstd -dc | tar x; sync -f .", place.shown_fetch);
            let job = format!("restore of {size} from {}", place.name);
            table::row(&place.row(job, tool, self.in_turns(place.restore().each_ref())?));
        }
        Ok(())
    }
}

impl Place {
    /// The value of archive_command for this place. It works from any directory.
    pub(crate) fn archive_command(&self, scratch: &Path) -> String {
        format!("cd {}; {} archive-wal \"$OLDPWD/%p\"", scratch.display(), self.swiftwal)
    }

    /// The backup by swiftwal and by the other tools. What swiftwal prints is kept beside the program.
    fn backup(&self) -> [Job; 2] {
        let ours = format!("{} backup -c fast > ./swiftwal.printed 2>&1", self.swiftwal);
        let theirs = format!("pg_basebackup -Ft -D - -X none -c fast | zstd -1 -q -T2 {}", self.keep);
        [Job::new("sync", ours), Job::new("rm -f base.tar.zst && sync", theirs)]
    }

    /// The restore by swiftwal and by the other tools. Each swiftwal restores the latest backup that it has taken itself:
    /// an earlier one doesn't know a newer index and restores without it, and the reverse.
    fn restore(&self) -> [Job; 2] {
        let key = "$(grep -oEm 1 '[0-9]{8}T[0-9]+Z[^ ]*' ./swiftwal.printed | head -n 1)";
        let ours = format!("{} restore {key} ours", self.swiftwal);
        let theirs = format!("{} | zstd -dcq | tar x -C theirs; sync -f theirs", self.fetch);
        [Job::new("rm -rf ours && sync", ours), Job::new("rm -rf theirs && mkdir theirs && sync", theirs)]
    }

    fn row(&self, job: String, tool: String, [ours, theirs]: [Measured; 2]) -> Row {
        let limits = Limits { wall: Some(self.wall_limit), rss_mib: Some(128.0), ..Limits::default() };
        Row { job, tool, ours, theirs, limits }
    }
}
