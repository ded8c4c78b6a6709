//! The subcommand archive-wal.

use std::{fs, num::NonZeroUsize, path::PathBuf, thread::available_parallelism, time::Duration};

use serde_json::json;
use swiftwal_core::{Ahead, ArchiveOptions, Archived, archive_ahead};

use crate::{archiver::is_called_by_server, failure::Failure, session::Session};

/// How long a call may take for the files that PostgreSQL hasn't asked for yet.
const MOST_AHEAD: Duration = Duration::from_secs(30);
/// The limits of the default of `--jobs`. Most of the time a job waits for the storage.
const FEWEST_JOBS: usize = 4;
const MOST_JOBS: usize = 16;

/// Store a WAL file: PostgreSQL's archive_command.
///
/// Exit code 0 means that the file is stored durably, whether it was stored now or earlier. After any other exit code
/// nothing was overwritten, and PostgreSQL will try again.
///
/// PostgreSQL asks for one file after the other, and waits for each. So once the file is stored, archive-wal goes on with
/// others that wait in archive_status, for 30 seconds at most, and the calls for those return at once. They don't change
/// the exit code. It does so only if the server calls it (the path is relative, and a server runs in the working
/// directory), without --force and --create, and if it can remember what it stored: with Swift or a directory as the
/// repository.
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
    #[arg(long, value_name = "N")]
    ahead: Option<usize>,
    /// Store N of the further files at a time [default: twice the processor's cores, 4 to 16]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// The WAL file: a segment, or a .history, .partial or .backup file
    path: PathBuf,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    // If the file can't be examined, the command fails with the reason in a moment.
    session.watchdog.allow_for(fs::metadata(&args.path).map_or(0, |file| file.len()));
    let repository = session.open_to_store(args.create)?;
    let options = ArchiveOptions { codec: session.config.codec, force: args.force };
    session.watchdog.doing(format!("storing {} in {}", args.path.display(), repository.location()));
    let archived = swiftwal_core::archive_wal(&repository, &args.path, &options).await?;
    tracing::info!("{}: {}", args.path.display(), outcome(archived));
    if session.output.json {
        let stored_bytes = match archived {
            Archived::Stored { stored_bytes } => Some(stored_bytes),
            Archived::AlreadyThere | Archived::Ahead => None,
        };
        // The file is stored: a closed stdout must not turn that into a failure for PostgreSQL.
        drop(session.output.json(&json!({ "path": args.path, "stored_bytes": stored_bytes })));
    }
    if archived != Archived::Ahead && !args.force && !args.create && is_called_by_server(&args.path) {
        archive_ahead(&repository, &args.path, options.codec, &ahead(&args, session)).await;
    }
    Ok(())
}

fn ahead(args: &Args, session: &Session<'_>) -> Ahead {
    let cores = available_parallelism().map_or(1, NonZeroUsize::get);
    let jobs = args.jobs.map_or_else(|| (2 * cores).clamp(FEWEST_JOBS, MOST_JOBS), NonZeroUsize::get);
    // The file that was asked for is stored, and must be acknowledged before the deadline.
    let time = session.watchdog.time_left().map_or(MOST_AHEAD, |left| MOST_AHEAD.min(left / 2));
    Ahead { files: args.ahead.unwrap_or(2 * jobs), jobs, time }
}

fn outcome(archived: Archived) -> String {
    match archived {
        Archived::Stored { stored_bytes } => format!("stored in {}", crate::output::Size(stored_bytes)),
        Archived::AlreadyThere => "was already stored, with the same content".to_owned(),
        Archived::Ahead => "had been stored ahead".to_owned(),
    }
}
