//! `cargo xtask bench`: measures swiftwal beside the usual tools for the same work, in the same run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use xtask::{Ceph, Installation, Postgres, Scratch, Swift};

use self::backup::Place;
use crate::build;

mod backup;
mod ceph;
mod listing;
mod measure;
mod swift;
mod table;
mod wal;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The pgbench scale of the smaller cluster, 15 MB per unit; the larger one has twice that
    #[arg(long, default_value_t = 40)]
    scale: u32,
    /// The number of measured runs of each job, in turn with the other tool's; the medians are printed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Another swiftwal, such as an earlier release: each job is also run with it, in turn, on the same repository
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Run only these jobs
    #[arg(long, value_delimiter = ',', default_value = "archive-wal,backup,restore,list")]
    only: Vec<Work>,
    /// Run only on these kinds of storage
    #[arg(long, value_delimiter = ',', default_value = "file,swift,ceph")]
    on: Vec<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    ArchiveWal,
    Backup,
    Restore,
    List,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    File,
    Swift,
    Ceph,
}

/// The servers' directory with the program, its repository and a cluster, on which each job runs.
struct Bench {
    scratch: Arc<Scratch>,
    postgres: Postgres,
    /// Its objects may have the usual size, so that `curl` can store a whole backup.
    swift: Option<Swift>,
    ceph: Option<Ceph>,
    only: Vec<Work>,
    rounds: usize,
    /// Whether each job also runs with another swiftwal.
    against: bool,
}

/// Prints the table. A figure over its limit is marked, and isn't a failure.
pub(crate) fn bench(options: &Options) -> Result<ExitCode> {
    let bench = Bench::start(options)?;
    let on = |kind| options.on.contains(&kind);

    table::head();
    bench.grow(options.scale)?;
    if bench.does(Work::ArchiveWal) {
        if on(Kind::File) {
            table::row(&bench.archive_wal()?);
        }
        if on(Kind::Swift) {
            bench.archive_wal_to_swift()?.iter().for_each(table::row);
        }
        if on(Kind::Ceph) {
            table::row(&bench.archive_wal_to_ceph()?);
        }
    }
    if bench.does(Work::Backup) || bench.does(Work::Restore) {
        bench.backups(&options.on)?;
        bench.grow(options.scale * 2)?;
        bench.backups(&options.on)?;
    }
    if bench.does(Work::List) {
        if on(Kind::File) {
            bench.listings()?.iter().for_each(table::row);
        }
        if let Some(swift) = &bench.swift {
            bench.listings_of_swift(swift)?.iter().for_each(table::row);
        }
        if on(Kind::Ceph) {
            table::row(&bench.listing_of_ceph()?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Bench {
    fn start(options: &Options) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        scratch.program(&build::release()?)?;
        if let Some(program) = &options.against {
            scratch.program_as(program, Path::new(measure::BEFORE))?;
        }
        scratch.directory("repository")?;
        scratch.directory("segments")?;
        let postgres = Postgres::create(&scratch, "data", &[])?;
        postgres.start()?;
        let (only, rounds) = (options.only.clone(), options.rounds);
        let swift = options.on.contains(&Kind::Swift).then(|| swift::start(&scratch)).transpose()?;
        let ceph = options.on.contains(&Kind::Ceph).then(|| ceph::start(&scratch)).transpose()?;
        Ok(Self { scratch, postgres, swift, ceph, only, rounds, against: options.against.is_some() })
    }

    fn does(&self, work: Work) -> bool {
        self.only.contains(&work)
    }

    /// Creates pgbench's tables anew, and keeps the resulting WAL in `segments`.
    fn grow(&self, scale: u32) -> Result<()> {
        self.archive_by(&format!("cp \"%p\" {}/%f", self.scratch.path().join("segments").display()))?;
        self.postgres.pgbench_init(scale)?;
        self.postgres.archive_all()
    }

    fn archive_by(&self, command: &str) -> Result<()> {
        self.postgres.configure(&[&format!("archive_command = '{command}'")])?;
        self.postgres.reload()
    }

    /// Measures backup and restore of the cluster as it is, on each kind of storage.
    fn backups(&self, on: &[Kind]) -> Result<()> {
        for kind in on {
            let place = match kind {
                Kind::File => &Place::FILE,
                Kind::Swift => &Place::SWIFT,
                Kind::Ceph => &Place::CEPH,
            };
            self.archive_by(&place.archive_command(self.scratch.path()))?;
            self.backup_and_restore(place)?;
        }
        Ok(())
    }
}
