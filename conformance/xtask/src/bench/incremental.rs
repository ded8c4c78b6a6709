//! Measures incremental backups, beside full ones.

use anyhow::Result;

use super::Bench;
use super::backup::RSS_MIB;
use super::measure::Job;
use super::place::Place;
use super::table::{self, Limits, Row};

/// The oldest version of PostgreSQL that takes incremental backups.
pub(super) const VERSION: u32 = 17;
/// What these need.
pub(super) const SETTING: &str = "summarize_wal = on";

/// Changes 1 % of the blocks: half of them by the update of their rows, the others by the new versions of these rows.
/// Each run updates other rows.
const CHANGE: &str = "psql -XAtq -v ON_ERROR_STOP=1 -c \"update pgbench_accounts set abalance = abalance + 1
    where aid / (select count(*) / 200 from pgbench_accounts) = $(cat run)\"
    echo $(($(cat run) + 1)) > run";

impl Bench {
    /// Measures an incremental backup of a cluster of `size` GB where 1 % of the blocks have changed.
    pub(super) fn incremental(&self, size: f64) -> Result<()> {
        self.grow(size, "true")?;
        let place = &Place::FILE;
        let backup = format!("{} backup --method replication -c fast", place.swiftwal);
        let archive = place.archive();
        let full = Job::new(format!("{archive} sync"), backup.clone()).stores_into("repository");
        self.once(&format!("echo 1 > run; {archive}"))?;
        self.measure(&full)?;
        let before = format!("{CHANGE}; psql -XAtq -c checkpoint; sync");
        let incremental = Job::new(before, format!("{backup} --incremental")).stores_into("repository");
        let [ours, theirs] = self.in_turns([&incremental, &full])?;
        table::row(&Row {
            job: format!("backup --incremental of {size:.1} GB to a directory, 1 % of the blocks changed"),
            tool: "swiftwal backup --method replication, a full one".to_owned(),
            ours,
            theirs,
            limits: Limits {
                wall: Some(0.25),
                cpu: Some(0.25),
                rss_mib: Some(RSS_MIB),
                stored: Some(0.05),
                ..Limits::default()
            },
        });
        Ok(())
    }
}
