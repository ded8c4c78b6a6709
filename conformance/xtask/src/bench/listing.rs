//! Measures listings and the planning of prune in a large repository.

use std::fs;

use anyhow::Result;

use super::Bench;
use super::measure::Job;
use super::table::{Limits, Row};

const OBJECTS: u32 = 100_000;

impl Bench {
    /// Measures listing, planning and reporting in a repository with 100,000 WAL objects and the backups taken so far.
    pub(crate) fn listings(&self) -> Result<[Row; 3]> {
        let swiftwal = "./swiftwal --repository file://$PWD/repository";
        let repository = self.scratch.path().join("repository");
        for name in wal_names(OBJECTS) {
            fs::write(repository.join(name), b"x")?;
        }
        // Takes a small backup if there is none.
        self.measure(&Job::new("", format!("{swiftwal} list-backups | grep -q . || {swiftwal} backup -x")))?;
        let list = format!("{swiftwal} list-wal > list");
        let plan = format!("{swiftwal} prune --keep-backups 1 --keep-wals 0 --dry-run > list");
        let info = Job::new("", format!("{swiftwal} info > list"));
        let [ours, theirs] = self.in_turns([&info, &Job::new("", list.clone())])?;
        let info = Row {
            job: "info over 100,000 WAL objects in a directory".to_owned(),
            tool: "list-wal".to_owned(),
            ours,
            theirs,
            limits: Limits { wall: Some(1.5), rss_mib: Some(48.0), ..Limits::default() },
        };
        Ok([self.beside_find("list-wal", list)?, self.beside_find("prune -n", plan)?, info])
    }

    fn beside_find(&self, command: &str, script: String) -> Result<Row> {
        let find = Job::new("", "find repository -type f > list".to_owned());
        let [ours, theirs] = self.in_turns([&Job::new("", script), &find])?;
        Ok(Row {
            job: format!("{command} over 100,000 WAL objects in a directory"),
            tool: "find DIR -type f".to_owned(),
            ours,
            theirs,
            limits: Limits { wall: Some(1.75), rss_mib: Some(48.0), ..Limits::default() },
        })
    }
}

/// Returns names of segments far beyond the cluster's own, so that none of those is overwritten.
pub(crate) fn wal_names(count: u32) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("wal_00000001{:08X}{:08X}.zst", 0x1000 + number / 256, number % 256))
}
