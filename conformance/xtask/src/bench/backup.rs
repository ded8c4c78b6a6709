use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::Row;

impl Bench {
    /// A base backup of the cluster as it is, and its restore.
    pub(crate) fn backup_and_restore(&self) -> Result<[Row; 2]> {
        let bytes = self.postgres.sql("select sum(pg_database_size(oid)) from pg_database")?;
        let gigabytes = bytes.parse::<f64>()? / 1e9;
        Ok([
            self.against(
                format!("backup of {gigabytes:.1} GB"),
                "pg_basebackup -Ft -D - -X none -c fast | zstd -1 -T2 > FILE; sync FILE",
                &Job {
                    before: "sync",
                    script: "./swiftwal --repository file://$PWD/repository backup -c fast",
                    repeats: 1,
                },
                &Job {
                    before: "rm -f base.tar.zst && sync",
                    script: "pg_basebackup -Ft -D - -X none -c fast | zstd -1 -q -T2 > base.tar.zst
                        sync base.tar.zst",
                    repeats: 1,
                },
            )?,
            self.against(
                format!("restore of {gigabytes:.1} GB"),
                "zstd -dc FILE | tar x; sync -f .",
                &Job {
                    before: "rm -rf ours && sync",
                    script: "./swiftwal --repository file://$PWD/repository restore latest ours",
                    repeats: 1,
                },
                &Job {
                    before: "rm -rf theirs && mkdir theirs && sync",
                    script: "zstd -dcq base.tar.zst | tar x -C theirs && sync -f theirs",
                    repeats: 1,
                },
            )?,
        ])
    }

    fn against(&self, job: String, tool: &'static str, ours: &Job, theirs: &Job) -> Result<Row> {
        let (ours, theirs) = self.in_turns(ours, theirs)?;
        Ok(Row { job, tool, ours, theirs, wall_limit: 1.0, cpu_limit: None, rss_limit_mib: 128.0 })
    }
}
