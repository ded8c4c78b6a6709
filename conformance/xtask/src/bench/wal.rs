use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::Row;

impl Bench {
    /// Ten real segments a run, a process for each, as PostgreSQL does it.
    pub(crate) fn archive_wal(&self) -> Result<Row> {
        let ours = Job {
            // The first segment makes the repository; that is not what each segment costs.
            before: "rm -rf repository && mkdir repository && sync
                ./swiftwal --repository file://$PWD/repository archive-wal segments/$(ls segments | head -n 1)",
            script: "for name in $(ls segments | tail -n 10); do
                ./swiftwal --repository file://$PWD/repository archive-wal segments/$name; done",
            repeats: 10,
        };
        let theirs = Job {
            before: "rm -rf plain && mkdir plain && sync",
            script: "for name in $(ls segments | tail -n 10); do
                zstd -1 -q -o plain/$name.zst segments/$name && sync plain/$name.zst; done",
            repeats: 10,
        };
        let (ours, theirs) = self.in_turns(&ours, &theirs)?;
        Ok(Row {
            job: "archive-wal of a 16 MiB segment".to_owned(),
            tool: "zstd -1 -o FILE SEGMENT && sync FILE",
            ours,
            theirs,
            wall_limit: 1.10,
            cpu_limit: Some(1.0),
            rss_limit_mib: 24.0,
        })
    }
}
