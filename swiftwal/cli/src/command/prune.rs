//! The subcommand prune.

use std::{
    io::{self, Write},
    num::NonZeroU32,
};

use swiftwal_core::{BackupKey, Error, PrunePlan, PrunePolicy, plan_prune};

use crate::{
    failure::Failure,
    log,
    output::{BACKUPS, Counted, LEFTOVERS, Planned, Range, wal_ranges},
    prometheus::PrometheusArgs,
    session::Session,
    values::whole,
};

/// Remove old base backups and the WAL that is no longer needed.
///
/// Keeps the newest full backups with all incremental ones that build on them, every WAL file that point-in-time recovery
/// from one of them can need, the newest segments overall, and all timeline histories.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  swiftwal -c /etc/swiftwal.toml prune --keep-backups 7 --dry-run")]
pub(crate) struct Args {
    /// How many of the newest full base backups to keep, each with the incremental ones that build on it
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    keep_backups: NonZeroU32,
    /// How many of the newest WAL segments to keep at least, even if no backup needs them [default: 0]
    #[arg(long, value_name = "N", visible_alias = "keep-wal", value_parser = whole::<u32>(0..=u32::MAX.into()),
          allow_negative_numbers = true)]
    keep_wals: Option<u32>,
    /// Print what would be removed, and remove nothing
    #[arg(short = 'n', long, conflicts_with = "prometheus")]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) metrics: PrometheusArgs,
}

fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    let least = if text == "0" { 0 } else { 1 };
    NonZeroU32::new(whole(least..=u32::MAX.into())(text)?).ok_or_else(|| {
        "that would remove every backup there is; to give a repository up, delete its directory or container".to_owned()
    })
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let policy = PrunePolicy { keep_backups: args.keep_backups, keep_wals: args.keep_wals.unwrap_or(0) };
    let plan = plan_prune(&repository, &policy).await?;
    if !args.dry_run && plan.removes_something() {
        repository.check_removal().await?;
    }
    for notice in &plan.notices {
        log::say(format_args!("{notice}"));
    }
    if session.output.json {
        session.output.json(&Planned { dry_run: args.dry_run, plan: &plan })?;
    } else {
        session.output.text(|out| print(out, &plan))?;
    }
    if args.dry_run {
        log::say(format_args!("nothing was removed (-n)"));
        return refused(&plan);
    }
    swiftwal_core::prune(&repository, &plan).await?;
    refused(&plan)
}

/// Fails if removing WAL was refused, although the rest of the plan was carried out.
fn refused(plan: &PrunePlan) -> Result<(), Failure> {
    match &plan.refused {
        Some(refusal) => Err(Error::Refused(refusal.clone()).into()),
        None => Ok(()),
    }
}

/// Prints what is removed and kept: the four lines of SwiftWAL 0.2.2, and more if there are several timelines.
fn print(out: &mut dyn Write, plan: &PrunePlan) -> io::Result<()> {
    let backups = |what, keys: &[BackupKey]| Range::of(what, BACKUPS, keys.iter().copied());
    writeln!(out, "{}", backups("Removing", &plan.remove_backups))?;
    writeln!(out, "{}\n", backups("Keeping", &plan.keep_backups))?;
    for (what, wal) in [("Removing", &plan.remove_wal), ("Keeping", &plan.keep_wal)] {
        for line in wal_ranges(what, wal.iter().map(|wal| wal.name)) {
            writeln!(out, "{line}")?;
        }
    }
    if plan.leftovers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nRemoving {} of interrupted commands", Counted(plan.leftovers.len(), LEFTOVERS))
}
