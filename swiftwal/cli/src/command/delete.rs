//! The subcommand delete.

use swiftwal_core::{BackupChoice, plan_delete};

use crate::{
    failure::Failure,
    log,
    output::{BACKUPS, Planned, Range, Size},
    session::Session,
    values::BackupArg,
};

/// Delete a base backup.
///
/// Without --yes it prints what would be deleted, and deletes nothing. It refuses a backup that is pinned, one on which
/// another one builds, and the only one that was proven to be restorable. The WAL stays until the next prune.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml delete 20130828T1810Z --yes")]
pub(crate) struct Args {
    /// The backup: its key or a unique prefix of it
    #[arg(value_name = "KEY")]
    backup: BackupArg,
    /// Delete the backup
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let key = match args.backup.resolve(&repository).await? {
        BackupChoice::Key(key) => key,
        BackupChoice::Latest => {
            let problem =
                "give the key of the backup to delete; 'latest' may be another one by the time this runs";
            return Err(swiftwal_core::Error::Usage(problem.to_owned()).into());
        }
    };
    let plan = plan_delete(&repository, key).await?;
    if args.yes {
        repository.check_removal().await?;
    }
    let planned = Planned { dry_run: !args.yes, plan: &plan };
    session.output.plan(&planned, &plan.notices, |out| {
        writeln!(out, "{}, {}", Range::of("Removing", BACKUPS, [key]), Size(plan.bytes))
    })?;
    if !args.yes {
        log::say(format_args!("nothing was removed; to remove it, add --yes"));
        return Ok(());
    }
    Ok(swiftwal_core::delete(&repository, &plan).await?)
}
