use std::fs;

use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::Row;

const OBJECTS: u32 = 100_000;

impl Bench {
    /// Listing and planning over a repository of 100,000 WAL objects and the backups made so far.
    pub(crate) fn listings(&self) -> Result<[Row; 2]> {
        let repository = self.scratch.path().join("repository");
        for number in 0..OBJECTS {
            // Far beyond the cluster's own, so that none of those is overwritten.
            let name = format!("wal_00000001{:08X}{:08X}.zst", 0x1000 + number / 256, number % 256);
            fs::write(repository.join(name), b"x")?;
        }
        let list = "./swiftwal --repository file://$PWD/repository list-wal > list";
        let plan = "./swiftwal --repository file://$PWD/repository \
                    prune --keep-backups 1 --keep-wals 0 --dry-run > list";
        Ok([self.beside_find("list-wal", list)?, self.beside_find("prune -n", plan)?])
    }

    fn beside_find(&self, command: &str, script: &'static str) -> Result<Row> {
        let find = Job { before: "true", script: "find repository -type f > list", repeats: 1 };
        let (ours, theirs) = self.in_turns(&Job { before: "true", script, repeats: 1 }, &find)?;
        Ok(Row {
            job: format!("{command} over 100,000 WAL objects"),
            tool: "find DIR -type f",
            ours,
            theirs,
            wall_limit: 1.75,
            cpu_limit: None,
            rss_limit_mib: 48.0,
        })
    }
}
