//! The subcommand archive-cleanup.

use swiftwal_core::{CleanupPlan, archive_cleanup, plan_archive_cleanup};
use swiftwal_postgres::WalName;

use crate::{
    failure::Failure,
    log,
    output::{Counted, Planned, WAL_FILES, wal_ranges},
    session::Session,
};

/// Remove the WAL before FILE: PostgreSQL's archive_cleanup_command.
///
/// As pg_archivecleanup does, it removes segments and .partial files of every timeline, and keeps histories. Unlike
/// pg_archivecleanup, it keeps WAL that a stored backup needs. With -n or -v it prints the name of each file on standard
/// output, and the summary on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in a standby's postgresql.conf:\n  \
                        archive_cleanup_command = 'swiftwal -c /etc/swiftwal.toml archive-cleanup %r'")]
pub(crate) struct Args {
    /// Print the name of each file that would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Also remove WAL that stored backups need
    #[arg(long)]
    ignore_backups: bool,
    /// The oldest WAL file to keep; the name of a .partial or .backup file is accepted, too
    #[arg(value_name = "FILE", value_parser = with_segment)]
    oldest_kept: WalName,
}

fn with_segment(text: &str) -> Result<WalName, String> {
    let name: WalName = text.parse().map_err(|error| format!("{error}"))?;
    match name.segment() {
        Some(_) => Ok(name),
        None => {
            Err("the history of a timeline has no position in the WAL; give the name of a segment".to_owned())
        }
    }
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let plan = plan_archive_cleanup(&repository, args.oldest_kept, args.ignore_backups).await?;
    if !args.dry_run && !plan.remove.is_empty() {
        repository.check_removal().await?;
    }
    let lists_names = args.dry_run || session.output.verbose;
    let planned = Planned { dry_run: args.dry_run, plan: &plan };
    session.output.plan(&planned, &plan.notices, |out| match lists_names {
        true => plan.remove.iter().try_for_each(|wal| writeln!(out, "{}", wal.name)),
        false => summary(&plan).iter().try_for_each(|line| writeln!(out, "{line}")),
    })?;
    if lists_names && !session.output.json {
        summary(&plan).iter().for_each(|line| log::say(format_args!("{line}")));
    }
    if args.dry_run {
        log::say(format_args!("nothing was removed (-n)"));
        return Ok(());
    }
    Ok(archive_cleanup(&repository, &plan).await?)
}

/// Returns how many files are removed and kept.
fn summary(plan: &CleanupPlan) -> Vec<String> {
    let removing = wal_ranges("Removing", plan.remove.iter().map(|wal| wal.name));
    let keeping = format!("Keeping {} that backups need", Counted(plan.kept_for_backups, WAL_FILES));
    removing.iter().map(ToString::to_string).chain([keeping]).collect()
}
