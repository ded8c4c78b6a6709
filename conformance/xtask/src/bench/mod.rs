//! `cargo xtask bench`: measures swiftwal beside the usual tools for the same work, in the same run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::ValueEnum;
use xtask::{Ceph, Installation, PgBackRest, Postgres, Scratch, Swift};

use self::place::{Place, archive_command};
use crate::build;

mod backup;
mod beside;
mod ceph;
mod drain;
mod incremental;
mod listing;
mod measure;
mod place;
mod receive_wal;
mod replay;
mod restore;
mod small_files;
mod swift;
mod table;
mod verify;
mod wal;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The sizes of the clusters to back up and restore, in GB
    #[arg(long, value_name = "GB", value_delimiter = ',', default_value = "0.6")]
    sizes: Vec<f64>,
    /// The number of measured runs of each job, in turn with the other tool's; the medians are printed
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The swiftwal to measure, instead of one that is built now
    #[arg(long)]
    program: Option<PathBuf>,
    /// Another swiftwal, such as an earlier release: each job is also run with it, in turn, on the same repository.
    /// Draining and replaying need one that archives and fetches ahead
    #[arg(long, value_name = "PROGRAM")]
    against: Option<PathBuf>,
    /// Run only these jobs
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "archive-wal,drain,replay,receive-wal,backup,restore,verify,incremental,small-files,list"
    )]
    only: Vec<Work>,
    /// Run only on these kinds of storage
    #[arg(long, value_delimiter = ',', default_value = "file,swift,ceph")]
    on: Vec<Kind>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Work {
    ArchiveWal,
    Drain,
    ReceiveWal,
    Replay,
    Backup,
    Restore,
    Verify,
    Incremental,
    SmallFiles,
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
    pgbackrest: Option<PgBackRest>,
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
    let mut sizes = options.sizes.iter();
    let first = *sizes.next().context("--sizes is empty")?;
    bench.grow(first, "cp \"$1\" segments/")?;
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
    if bench.does(Work::Drain) {
        if on(Kind::File) {
            bench.drain()?.iter().for_each(table::row);
        }
        if on(Kind::Swift) {
            bench.drain_to_swift()?.iter().for_each(table::row);
        }
    }
    if bench.does(Work::Replay) {
        if on(Kind::File) {
            bench.replay()?.iter().for_each(table::row);
        }
        if on(Kind::Swift) {
            bench.replay_from_swift()?.iter().for_each(table::row);
        }
    }
    if bench.does(Work::ReceiveWal) {
        let places = [(Kind::File, &Place::FILE), (Kind::Swift, &Place::SWIFT)];
        places.iter().filter(|(kind, _)| on(*kind)).try_for_each(|(_, place)| bench.receive_wal(place))?;
    }
    if [Work::Backup, Work::Restore, Work::Verify].into_iter().any(|work| bench.does(work)) {
        bench.backups_and_restores(&options.on)?;
        for size in sizes {
            bench.grow(*size, "true")?;
            bench.backups_and_restores(&options.on)?;
        }
    }
    if bench.does(Work::Incremental) && on(Kind::File) {
        let needs = Installation::of_version(incremental::VERSION)?;
        Bench::of(needs, &[incremental::SETTING], options)?.incremental(first)?;
    }
    if bench.does(Work::SmallFiles) && on(Kind::File) {
        bench.small_files(&Place::FILE_FOR_SMALL_FILES)?;
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
        let mut bench = Self::of(Installation::ensure()?, &[], options)?;
        let on = |kind| options.on.contains(&kind);
        let scratch = &bench.scratch;
        bench.swift = on(Kind::Swift).then(|| swift::start(scratch)).transpose()?;
        bench.ceph = on(Kind::Ceph).then(|| ceph::start(scratch)).transpose()?;
        bench.pgbackrest =
            on(Kind::File).then(|| PgBackRest::ensure(scratch, &bench.postgres)).transpose()?;
        Ok(bench)
    }

    /// Starts a server with these settings, and no storage.
    fn of(installation: Installation, settings: &[&str], options: &Options) -> Result<Self> {
        let scratch = Scratch::new(installation)?;
        match &options.program {
            Some(program) => scratch.program_as(program, Path::new(measure::NOW))?,
            None => scratch.program(&build::release()?)?,
        };
        if let Some(program) = &options.against {
            scratch.program_as(program, Path::new(measure::BEFORE))?;
        }
        scratch.directory("repository")?;
        scratch.directory("segments")?;
        let postgres = Postgres::create(&scratch, "data", settings)?;
        let archive = format!("archive_command = '{}'", archive_command(scratch.path()));
        // A server's own work isn't measured.
        postgres.configure(&["autovacuum = off", &archive])?;
        let bench = Self {
            scratch,
            postgres,
            swift: None,
            ceph: None,
            pgbackrest: None,
            only: options.only.clone(),
            rounds: options.rounds,
            against: options.against.is_some(),
        };
        bench.archive_by("true")?;
        bench.postgres.start()?;
        Ok(bench)
    }

    fn does(&self, work: Work) -> bool {
        self.only.contains(&work)
    }

    /// Creates pgbench's tables anew, of this size in GB, while the WAL is archived by a command.
    fn grow(&self, size: f64, archive: &str) -> Result<()> {
        self.archive_by(archive)?;
        // A unit of pgbench's scale is 15 MB.
        self.postgres.pgbench_init((size / 0.015).round().max(1.0) as u32)?;
        self.postgres.archive_all()
    }

    fn archive_by(&self, command: &str) -> Result<()> {
        self.once(&place::archive_by(command))
    }

    /// Measures backup and restore of the cluster as it is, on each kind of storage.
    fn backups_and_restores(&self, on: &[Kind]) -> Result<()> {
        let bytes = self.postgres.sql("select sum(pg_database_size(oid)) from pg_database")?;
        let size = format!("{:.1} GB", bytes.parse::<f64>()? / 1e9);
        for kind in on {
            let place = match kind {
                Kind::File => &Place::FILE,
                Kind::Swift => &Place::SWIFT,
                Kind::Ceph => &Place::CEPH,
            };
            if self.does(Work::Backup) {
                self.backups(place, &size)?;
            } else {
                self.backup_once(place)?;
            }
            if self.does(Work::Restore) {
                self.restores(place, &size)?;
            }
            if self.does(Work::Verify) && place.is_directory {
                self.verifies(place, &size)?;
            }
        }
        Ok(())
    }
}
