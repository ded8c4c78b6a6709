//! The subcommand archive-wal.

use std::{
    fs,
    num::NonZeroUsize,
    ops::RangeInclusive,
    path::PathBuf,
    thread::available_parallelism,
    time::{Duration, Instant},
};

use serde_json::json;
use swiftwal_core::{Ahead, ArchiveOptions, Archived, archive_ahead};

use crate::{archiver::is_called_by_server, failure::Failure, session::Session, values::whole};

/// How long a call may take for the files that PostgreSQL hasn't asked for yet.
const MOST_AHEAD: Duration = Duration::from_secs(30);
/// The limits of the default of `--jobs`. Most of the time a job waits for the storage.
const DEFAULT_JOBS: RangeInclusive<usize> = 4..=16;
/// The largest values of `--ahead` and `--jobs`. All those files are open at the same time.
const MOST_FILES: u64 = 256;
const MOST_JOBS: u64 = 64;

/// Store a WAL file: PostgreSQL's archive_command.
///
/// Exit code 0 means that the file is stored durably, whether it was stored now or earlier. After any other exit code
/// nothing was overwritten, and PostgreSQL will try again.
///
/// PostgreSQL asks for one file after the other, and waits for each. So after that file archive-wal stores others that wait
/// in archive_status, for at most 30 seconds, and the calls for those return at once. They don't change the exit code.
/// Further files are stored only if the server calls archive-wal (with a relative path, in the data directory of a running
/// server), without --force and --create, if the repository is in Swift or a directory, and if the state directory can be
/// written to.
///
/// In Swift, if two processes store different content under one name at the same moment, both may exit with 0, although
/// only one content is kept.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example, in postgresql.conf:\n  archive_command = 'swiftwal -c /etc/swiftwal.toml archive-wal \"%p\"'"
)]
pub(crate) struct Args {
    /// Replace different content that is stored under this name
    #[arg(short, long)]
    force: bool,
    /// Start a new repository even though one that this machine has used there has vanished
    #[arg(long)]
    create: bool,
    /// Store up to N further files that wait to be archived; 0 for none [default: twice the jobs]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=MOST_FILES), allow_negative_numbers = true)]
    ahead: Option<usize>,
    /// Store N of the further files at a time [default: twice the processor's cores, 4 to 16]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=MOST_JOBS), allow_negative_numbers = true)]
    jobs: Option<usize>,
    /// The WAL file: a segment, or a .history, .partial or .backup file
    path: PathBuf,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    // If the file can't be examined, the command fails with the reason in a moment.
    session.watchdog.allow_for(fs::metadata(&args.path).map_or(0, |file| file.len()));
    let (repository, began) = (session.open_to_store(args.create)?, Instant::now());
    let options = ArchiveOptions { codec: session.config.codec, force: args.force };
    session.watchdog.doing(format!("storing {} in {}", args.path.display(), repository.location()));
    let archive = async { Ok(swiftwal_core::archive_wal(&repository, &args.path, &options).await?) };
    let archived = session.watchdog.unless_stopped(archive).await?;
    tracing::info!("{}: {}", args.path.display(), outcome(archived));
    if session.output.json {
        let stored_bytes = match archived {
            Archived::Stored { stored_bytes } => Some(stored_bytes),
            Archived::AlreadyThere | Archived::Ahead => None,
        };
        // The file is stored: a closed stdout must not turn that into a failure for PostgreSQL.
        drop(session.output.json(&json!({ "path": args.path, "stored_bytes": stored_bytes })));
    }
    if archived == Archived::Ahead || args.force || args.create {
        return Ok(());
    }
    let ahead = ahead(&args, session, began.elapsed());
    if ahead.files > 0 && is_called_by_server(&args.path) {
        // Nor must a signal from now on.
        tokio::select! {
            _ = session.watchdog.stopped() => {}
            () = archive_ahead(&repository, &args.path, options.codec, &ahead) => {}
        }
    }
    Ok(())
}

/// Returns how much to archive ahead, if the asked file took this long.
fn ahead(args: &Args, session: &Session<'_>, asked: Duration) -> Ahead {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = args.jobs.unwrap_or_else(|| (2 * cores).clamp(*DEFAULT_JOBS.start(), *DEFAULT_JOBS.end()));
    // The file that was asked for is stored, and must be acknowledged before the deadline.
    let time = session.watchdog.time_left().map_or(MOST_AHEAD, |left| MOST_AHEAD.min(left / 2));
    Ahead { files: args.ahead.unwrap_or(2 * jobs), jobs, time, asked }
}

fn outcome(archived: Archived) -> String {
    match archived {
        Archived::Stored { stored_bytes } => format!("stored in {}", crate::output::Size(stored_bytes)),
        Archived::AlreadyThere => "was already stored, with the same content".to_owned(),
        Archived::Ahead => "had been stored ahead".to_owned(),
    }
}
