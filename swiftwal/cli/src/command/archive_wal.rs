use std::{fs, path::PathBuf};

use serde_json::json;
use swiftwal_core::{ArchiveOptions, Archived};

use crate::{failure::Failure, session::Session};

/// Store a WAL file: PostgreSQL's archive_command.
///
/// Exit code 0: this content is stored durably under this name, now or before. Otherwise nothing was
/// overwritten, and PostgreSQL will try again.
///
/// In Swift, of two that store different contents under one name at the very same moment, only one may stay.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example, in postgresql.conf:\n  archive_command = 'swiftwal -c /etc/swiftwal.toml archive-wal \"%p\"'"
)]
pub(crate) struct Args {
    /// Replace what is stored under the name with another content
    #[arg(short, long)]
    force: bool,
    /// Start a new repository although this machine has used one there that has vanished
    #[arg(long)]
    create: bool,
    /// The WAL file: a segment, or a .history, .partial or .backup file
    path: PathBuf,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    // Where the file can't be looked at, the command fails with the reason in a moment.
    session.watchdog.allow_for(fs::metadata(&args.path).map_or(0, |file| file.len()));
    let repository = session.open_to_store(args.create)?;
    let options = ArchiveOptions { codec: session.config.codec, force: args.force };
    session.watchdog.doing(format!("storing {} in {}", args.path.display(), repository.location()));
    let archived = swiftwal_core::archive_wal(&repository, &args.path, &options).await?;
    tracing::info!("{}: {}", args.path.display(), told(archived));
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

fn told(archived: Archived) -> String {
    match archived {
        Archived::Stored { stored_bytes } => format!("stored in {}", crate::output::Size(stored_bytes)),
        Archived::AlreadyThere => "was stored before, the same".to_owned(),
    }
}
