//! What the program costs, beside the tool that people use for the same, from the same run.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use xtask::{Installation, Postgres, Scratch, Swiftwal};

use crate::build;

mod backup;
mod listing;
mod measure;
mod table;
mod wal;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// pgbench scale of the smaller cluster, 15 MB each; the larger one has twice that
    #[arg(long, default_value_t = 40)]
    scale: u32,
    /// Measured runs of each; the medians count
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// The program, the servers' directory, and one cluster: what each job measures.
struct Bench {
    scratch: Arc<Scratch>,
    swiftwal: Swiftwal,
    postgres: Postgres,
    rounds: usize,
}

/// Prints the table; a figure over its limit is marked, and is not a failure.
pub(crate) fn bench(options: &Options) -> Result<ExitCode> {
    let scratch = Scratch::new(Installation::ensure()?)?;
    let swiftwal = Swiftwal::new(&scratch, &build::swiftwal("release")?)?;
    let segments = scratch.directory("segments")?;
    let keep = format!("archive_command = 'cp %p {}/%f'", segments.display());
    let postgres = Postgres::create(&scratch, "data", &[&keep])?;
    postgres.start()?;
    let bench = Bench { scratch, swiftwal, postgres, rounds: options.rounds };

    table::head();
    bench.grow(options.scale)?;
    table::row(&bench.archive_wal()?);
    bench.archive_with_swiftwal()?;
    bench.backup_and_restore()?.iter().for_each(table::row);
    bench.grow(options.scale * 2)?;
    bench.backup_and_restore()?.iter().for_each(table::row);
    bench.listings()?.iter().for_each(table::row);
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    fn grow(&self, scale: u32) -> Result<()> {
        self.postgres.pgbench_init(scale)?;
        self.postgres.archive_all()
    }

    fn archive_with_swiftwal(&self) -> Result<()> {
        let command = self.swiftwal.archive_command();
        self.postgres.configure(&[&format!("archive_command = '{command}'")])?;
        self.postgres.reload()
    }
}
