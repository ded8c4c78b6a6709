//! The subcommand archive-wal.

use std::{fs, path::PathBuf};

use serde_json::json;
use swiftwal_core::{ArchiveOptions, Archived};

use crate::{failure::Failure, session::Session};

/// Store a WAL file: PostgreSQL's archive_command.
///
/// Exit code 0 means that the file is stored durably, whether it was stored now or earlier. After any other exit code
/// nothing was overwritten, and PostgreSQL will try again.
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
            Archived::AlreadyThere => None,
        };
        // The file is stored: a closed stdout must not turn that into a failure for PostgreSQL.
        drop(session.output.json(&json!({ "path": args.path, "stored_bytes": stored_bytes })));
    }
    Ok(())
}

fn outcome(archived: Archived) -> String {
    match archived {
        Archived::Stored { stored_bytes } => format!("stored in {}", crate::output::Size(stored_bytes)),
        Archived::AlreadyThere => "was already stored, with the same content".to_owned(),
    }
}
