use std::path::PathBuf;

use serde_json::json;
use swiftwal_core::restore_wal;
use swiftwal_postgres::WalName;

use crate::{failure::Failure, session::Session, signal::interruptible};

/// Fetch a WAL file: PostgreSQL's restore_command.
///
/// Exit code 0: PATH is the whole file. 1: the storage proved that it isn't there, and PostgreSQL ends recovery
/// (or, on a standby, asks again). Anything else is 128 or above, which stops recovery; except on a standby, where
/// it is 1 too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in postgresql.conf (restore writes it for you):\n  \
                        restore_command = 'swiftwal -c /etc/swiftwal.toml restore-wal %f \"%p\"'")]
pub(crate) struct Args {
    /// The name of the WAL file
    name: WalName,
    /// Where to put it: a file's name, or a directory
    path: PathBuf,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let fetch = async { Ok(restore_wal(&repository, args.name, &args.path).await?) };
    interruptible(session.caller, fetch).await?;
    tracing::info!("{} fetched", args.name);
    if session.output.json {
        // The file is in place: PostgreSQL must not be told otherwise because nobody reads this.
        drop(session.output.json(&json!({ "name": args.name, "path": args.path })));
    }
    Ok(())
}
