//! Measures backup and restore of a cluster with 100,000 tables of one page.

use anyhow::Result;

use super::Bench;
use super::place::Place;

const TABLES: u32 = 100_000;
/// How many tables are created in a transaction: each needs a lock.
const BATCH: u32 = 1000;

impl Bench {
    /// Creates the tables, and measures a backup and a restore of the cluster.
    pub(super) fn small_files(&self, place: &Place) -> Result<()> {
        self.postgres.sql(
            "drop table if exists pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers",
        )?;
        for batch in 0..TABLES / BATCH {
            let (first, last) = (batch * BATCH, (batch + 1) * BATCH - 1);
            self.postgres.sql(&format!(
                "do $$ begin for number in {first}..{last} loop
                 execute format('create table small_%s as select 1', number); end loop; end $$"
            ))?;
        }
        self.postgres.sql("checkpoint")?;
        let size = format!("{TABLES} small files");
        self.backups(place, &size)?;
        self.restores(place, &size)
    }
}
