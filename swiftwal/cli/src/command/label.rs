use serde_json::json;
use swiftwal_core::BackupChoice;

use crate::{failure::Failure, session::Session};

/// Print the label of a base backup.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml label 20130828T1810Z")]
pub(crate) struct Args {
    /// Which backup: its key, or latest
    #[arg(value_name = "KEY|latest")]
    backup: BackupChoice,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let label = swiftwal_core::label(&session.open()?, args.backup).await?;
    if session.output.json {
        return session.output.json(&json!({ "label": label.as_str() }));
    }
    session.output.text(|out| out.write_all(label.as_str().as_bytes()))
}
