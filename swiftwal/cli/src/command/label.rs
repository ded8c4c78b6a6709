//! The subcommand label.

use serde_json::json;

use crate::{failure::Failure, session::Session, values::BackupArg};

/// Print the label of a base backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml label 20130828T1810Z")]
pub(crate) struct Args {
    /// The backup: its key or a unique prefix of it, or latest
    #[arg(value_name = "KEY|latest")]
    backup: BackupArg,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let choice = args.backup.resolve(&repository).await?;
    let label = swiftwal_core::label(&repository, choice).await?;
    if session.output.json {
        return session.output.json(&json!({ "label": label.as_str() }));
    }
    session.output.text(|out| out.write_all(label.as_bytes()))
}
