//! Measures archive-wal.

use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::{Limits, Row};

impl Bench {
    /// Measures archiving ten real segments, each in a process, as PostgreSQL does it.
    pub(crate) fn archive_wal(&self) -> Result<Row> {
        // The first segment, which creates the repository, isn't measured. The state directory is removed as well:
        // otherwise the program refuses to create the repository again.
        let before = "rm -rf repository .local/state/swiftwal && mkdir repository && sync
            ./swiftwal --repository file://$PWD/repository archive-wal segments/$(ls segments | head -n 1)";
        let ours = each_segment("./swiftwal --repository file://$PWD/repository archive-wal segments/$name");
        let theirs = each_segment("zstd -1 -q -o plain/$name.zst segments/$name && sync plain/$name.zst");
        let [ours, theirs] = self.in_turns([
            &Job::new(before, ours).repeats(SEGMENTS),
            &Job::new("rm -rf plain && mkdir plain && sync", theirs).repeats(SEGMENTS),
        ])?;
        Ok(Row {
            job: "archive-wal of a 16 MiB segment to a directory".to_owned(),
            tool: "zstd -1 -o FILE SEGMENT && sync FILE".to_owned(),
            ours,
            theirs,
            limits: Limits { wall: Some(1.1), cpu: Some(1.0), rss_mib: Some(24.0), ..Limits::default() },
        })
    }
}

/// The number of segments that [`each_segment`] processes.
pub(crate) const SEGMENTS: u32 = 10;

/// A loop that runs the command for each of the newest segments, whose name is `$name`.
pub(crate) fn each_segment(command: &str) -> String {
    format!("for name in $(ls segments | tail -n {SEGMENTS}); do {command}; done")
}
