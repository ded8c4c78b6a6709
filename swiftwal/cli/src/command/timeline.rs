//! The subcommands timeline list and timeline discard.

use swiftwal_core::{Branch, DiscardPlan, discard_timeline, plan_discard, timelines};
use swiftwal_postgres::Timeline;

use crate::{
    failure::Failure,
    log,
    output::{Column, Planned, Table, wal_ranges},
    session::Session,
};

/// Show the timelines in the repository, or discard one that was a mistake.
///
/// PostgreSQL starts a new timeline when it ends recovery: after a failover, after a recovery to a point in time, and
/// when a copy is started for a test.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  swiftwal -c /etc/swiftwal.toml timeline list
  swiftwal -c /etc/swiftwal.toml timeline discard 2")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the timelines: where each branched off, its newest backup, and its last WAL segment
    List,
    Discard(Discard),
}

/// Remove the WAL and the history of a timeline that was a mistake.
///
/// Without --yes it prints what would be removed, and removes nothing. It refuses a timeline that a stored backup or
/// another timeline needs. Stop the server that archives on that timeline first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml timeline discard 2 --yes")]
struct Discard {
    /// The number of the timeline
    #[arg(value_name = "TIMELINE")]
    timeline: Timeline,
    /// Remove the timeline
    #[arg(short, long)]
    yes: bool,
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    match args.action {
        Action::List => list(session).await,
        Action::Discard(args) => discard(args, session).await,
    }
}

async fn list(session: &Session<'_>) -> Result<(), Failure> {
    let branches = timelines(&session.open()?).await?;
    if session.output.json {
        return session.output.json(&branches);
    }
    let column = |header, cell: fn(&Branch) -> String| Column::new(header, branches.iter().map(cell));
    let table = Table::new(vec![
        column("Timeline", |branch| branch.timeline.to_string()),
        column("Parent", |branch| text(branch.parent)),
        column("Branched Off", |branch| text(branch.branched_off_at)),
        column("Newest Backup", |branch| text(branch.newest_backup)),
        column("Last WAL Segment", |branch| text(branch.last_wal)),
        column("Stored", |branch| text(branch.last_wal_stored)),
    ]);
    session.output.text(|out| table.write(out))
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

async fn discard(args: Discard, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let plan = plan_discard(&repository, args.timeline).await?;
    if args.yes {
        repository.check_removal().await?;
    }
    let planned = Planned { dry_run: !args.yes, plan: &plan };
    session.output.plan(&planned, &plan.notices, |out| print(out, &plan))?;
    if !args.yes {
        log::say(format_args!("nothing was removed; to remove it, add --yes"));
        return Ok(());
    }
    Ok(discard_timeline(&repository, &plan).await?)
}

fn print(out: &mut dyn std::io::Write, plan: &DiscardPlan) -> std::io::Result<()> {
    writeln!(out, "{}", capitalized(&plan.branch.to_string()))?;
    let names = plan.remove.iter().chain(&plan.remove_history).map(|wal| wal.name);
    wal_ranges("Removing", names).iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
