//! The subcommands keep and unkeep.

use jiff::Timestamp;
use serde_json::json;

use crate::{
    failure::Failure,
    session::Session,
    values::{BackupArg, moment},
};

/// Pin a base backup, so that prune keeps it.
///
/// prune and delete keep a pinned backup, whatever their rules say, with the WAL that recovery from it can need. list-backups
/// -v shows the pins. A backup that is pinned again has the new time and reason.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  swiftwal -c /etc/swiftwal.toml keep latest --until 2027-01-31 --reason 'before the migration'")]
pub(crate) struct Args {
    /// The backup: its key or a unique prefix of it, or latest
    #[arg(value_name = "KEY|latest")]
    backup: BackupArg,
    /// Keep it until this time: the beginning of a day in UTC, such as 2027-01-31, or 2027-01-31T12:00:00Z [default: until unkeep]
    #[arg(long, value_name = "DATE", value_parser = moment)]
    until: Option<Timestamp>,
    /// Why it is kept; shown wherever the pin is
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Remove the pin of a base backup.
///
/// The next prune removes the backup if none of its rules keeps it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml unkeep 20130828T1810Z")]
pub(crate) struct UnkeepArgs {
    /// The backup: its key or a unique prefix of it, or latest
    #[arg(value_name = "KEY|latest")]
    backup: BackupArg,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let choice = args.backup.resolve(&repository).await?;
    let pin = swiftwal_core::keep(&repository, choice, args.until, args.reason).await?;
    if session.output.json {
        return session.output.json(&pin);
    }
    let until = pin.until.map_or_else(|| "it is unpinned".to_owned(), |until| until.to_string());
    session.output.text(|out| writeln!(out, "Keeping backup {} until {until}", pin.key))
}

pub(crate) async fn unkeep(args: UnkeepArgs, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let choice = args.backup.resolve(&repository).await?;
    let (key, was_pinned) = swiftwal_core::unkeep(&repository, choice).await?;
    if session.output.json {
        return session.output.json(&json!({ "key": key, "was_pinned": was_pinned }));
    }
    session.output.text(|out| match was_pinned {
        true => writeln!(out, "Backup {key} is no longer pinned"),
        false => writeln!(out, "Backup {key} wasn't pinned"),
    })
}
