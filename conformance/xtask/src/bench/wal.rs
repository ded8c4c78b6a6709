use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::{Limits, Row};

impl Bench {
    /// Ten real segments a run, a process for each, as PostgreSQL does it.
    pub(crate) fn archive_wal(&self) -> Result<Row> {
        // The first segment makes the repository; that is not what each segment costs.
        // The state goes as well: the program wouldn't start a repository anew where it has seen one.
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

/// How many segments [`each_segment`] takes.
pub(crate) const SEGMENTS: u32 = 10;

/// The command for each of the newest segments, whose name is `$name`.
pub(crate) fn each_segment(command: &str) -> String {
    format!("for name in $(ls segments | tail -n {SEGMENTS}); do {command}; done")
}
