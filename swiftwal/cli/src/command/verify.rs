//! The subcommand verify.

use std::{
    env,
    io::{self, Write},
    num::NonZeroUsize,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use swiftwal_core::{
    BackupChoice, Verdict, VerifiedBackup, VerifyChoice, VerifyEvent, VerifyOptions, VerifyReport, verify,
};
use swiftwal_postgres::MaxRate;

use crate::{
    failure::{Failure, Finding},
    log,
    output::{Elapsed, Size},
    progress::{Done, Progress},
    session::Session,
    values::{BackupArg, whole},
};

/// The least number of WAL files that are checked at a time: most of the time, they are waited for.
const LEAST_JOBS: usize = 4;

/// Check what is stored, without restoring it.
///
/// Reads the backup and the WAL that it needs, and compares everything with the checksums that were stored with it: each
/// object, each file in the tars, the index, PostgreSQL's manifest, the pages of the database if it has page checksums, and
/// the pages of the WAL. Says what is damaged, and what can't be restored because of that. The result is stored with the
/// backup. Nothing else is changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 nothing is damaged, 3 damage was found, 1 it couldn't be checked

Examples:
  swiftwal -c /etc/swiftwal.toml verify latest
  swiftwal -c /etc/swiftwal.toml verify --all --wal --new-only")]
pub(crate) struct Args {
    /// The backup: its key or a unique prefix of it, or latest. Those that it builds on are checked, too
    /// [default: latest, or none with --wal]
    #[arg(value_name = "KEY|latest", conflicts_with = "all")]
    backup: Option<BackupArg>,
    /// Check every backup
    #[arg(long)]
    all: bool,
    /// Check all stored WAL, and not only what the backups need to become consistent
    #[arg(long)]
    wal: bool,
    /// Leave out what was checked before without finding damage
    #[arg(long)]
    new_only: bool,
    /// Read at most this much per second, in kilobytes or as 500k or 20M; from 32k to 1024M
    #[arg(long, value_name = "RATE")]
    max_rate: Option<MaxRate>,
    /// How many WAL files to check at a time, and the most threads that check the files of a backup [default: one for each
    /// core, and at least four]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=256), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Show progress
    #[arg(short = 'P', long)]
    progress: bool,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    let repository = session.open()?;
    let choice = match args.backup {
        Some(backup) => VerifyChoice::One(backup.resolve(&repository).await?),
        None if args.all => VerifyChoice::All,
        None if args.wal => VerifyChoice::None,
        None => VerifyChoice::One(BackupChoice::Latest),
    };
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let options = VerifyOptions {
        choice,
        wal: args.wal,
        new_only: args.new_only,
        most_bytes_per_second: args.max_rate.map(MaxRate::bytes),
        jobs: args.jobs.map_or_else(|| cores.max(LEAST_JOBS), |jobs| jobs as usize),
        scratch: env::temp_dir(),
    };
    let progress = Progress::new(args.progress);
    let observe = |event: VerifyEvent<'_>| match event {
        VerifyEvent::Begins(key) => progress.suspend(|| tracing::info!("verifying {key}")),
        VerifyEvent::Damage(damage) => progress.suspend(|| log::say(format_args!("damaged: {damage}"))),
        VerifyEvent::Notice(notice) => progress.suspend(|| log::say(format_args!("{notice}"))),
        VerifyEvent::Progress { bytes, total } => progress.show(Done { bytes, of: total, stored: None }),
        _ => {}
    };
    let report = verify(&repository, &options, &observe).await?;
    progress.finish();
    drop(progress);
    if session.output.json {
        session.output.json(&report)?;
    } else {
        session.output.text(|out| print(out, &report, began.elapsed()))?;
    }
    if report.is_damaged() { Err(Failure::Found(Finding::Damage)) } else { Ok(()) }
}

fn print(out: &mut dyn Write, report: &VerifyReport, duration: Duration) -> io::Result<()> {
    for backup in &report.backups {
        writeln!(out, "{}", line(backup))?;
        for what in &backup.details.not_checked {
            writeln!(out, "  not checked: {what}")?;
        }
    }
    for key in &report.skipped {
        writeln!(out, "Backup {key} has passed before, and was left out")?;
    }
    if let Some(wal) = &report.wal {
        writeln!(out, "WAL: {} files checked, {} stored", wal.files, Size(wal.stored_bytes))?;
    }
    let result = if report.is_damaged() { "Damage was found" } else { "No damage was found" };
    writeln!(out, "{result}, in {}", Elapsed(duration))
}

fn line(VerifiedBackup { key, verdict, details, .. }: &VerifiedBackup) -> String {
    let result = match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "damaged",
        Verdict::NotProven => "no damage found, but not all of it could be checked",
    };
    let pages = if details.pages > 0 { format!(", {} page checksums", details.pages) } else { String::new() };
    format!(
        "Backup {key}: {result}; {} files, {} stored{pages}, {} WAL segments",
        details.files,
        Size(details.stored_bytes),
        details.wal_segments
    )
}
