use swiftwal_core::{archive_cleanup, plan_archive_cleanup};
use swiftwal_postgres::WalName;

use crate::{
    failure::Failure,
    log,
    output::{Counted, Planned, WAL_FILES, wal_ranges},
    session::Session,
};

/// Remove the WAL before FILE: PostgreSQL's archive_cleanup_command.
///
/// The rules are pg_archivecleanup's: segments and .partial files go, of whatever timeline; histories stay.
/// Other than there, WAL that a stored backup needs stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in a standby's postgresql.conf:\n  \
                        archive_cleanup_command = 'swiftwal -c /etc/swiftwal.toml archive-cleanup %r'")]
pub(crate) struct Args {
    /// Print what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Remove WAL that stored backups need too
    #[arg(long)]
    ignore_backups: bool,
    /// The oldest WAL file to keep; the name of a .partial or .backup file will do
    #[arg(value_name = "FILE", value_parser = with_segment)]
    oldest_kept: WalName,
}

fn with_segment(text: &str) -> Result<WalName, String> {
    let name: WalName = text.parse().map_err(|error| format!("{error}"))?;
    match name.segment() {
        Some(_) => Ok(name),
        None => {
            Err("a timeline's history has no place in the order of WAL; give the name of a segment"
                .to_owned())
        }
    }
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let plan = plan_archive_cleanup(&repository, args.oldest_kept, args.ignore_backups).await?;
    for notice in &plan.notices {
        log::say(format_args!("{notice}"));
    }
    if session.output.json {
        session.output.json(&Planned { dry_run: args.dry_run, plan: &plan })?;
    } else {
        session.output.text(|out| {
            for line in wal_ranges("Removing", plan.remove.iter().map(|wal| wal.name)) {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "Keeping {} that backups need", Counted(plan.kept_for_backups, WAL_FILES))
        })?;
    }
    if args.dry_run {
        log::say(format_args!("nothing was removed (-n)"));
        return Ok(());
    }
    Ok(archive_cleanup(&repository, &plan).await?)
}
