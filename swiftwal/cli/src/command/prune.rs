//! The subcommand prune.

use std::{
    io::{self, Write},
    num::NonZeroU32,
    time::Duration,
};

use jiff::tz::TimeZone;
use swiftwal_core::{BackupKey, CalendarRules, Error, PrunePlan, PrunePolicy, plan_prune};

use crate::{
    failure::Failure,
    log,
    output::{BACKUPS, Counted, LEFTOVERS, Planned, Range, wal_ranges},
    prometheus::PrometheusArgs,
    session::Session,
    values::{duration, time_zone, whole},
};

/// Remove old base backups and the WAL that is no longer needed.
///
/// A backup stays if any of the rules keeps it, if it is pinned, or if a backup that stays builds on it. So does every WAL
/// file that point-in-time recovery from one of them can need. All timeline histories stay. If timelines branched, each
/// rule applies to each branch.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  swiftwal -c /etc/swiftwal.toml prune --keep-backups 7 --dry-run
  swiftwal -c /etc/swiftwal.toml prune --keep-within 30d --keep-monthly 12")]
pub(crate) struct Args {
    #[command(flatten)]
    rules: Rules,
    /// The time zone of the calendar, such as Europe/Zurich [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = time_zone)]
    time_zone: Option<TimeZone>,
    /// Keep at least N backups, whatever the rules say [default: 1]
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    min_backups: Option<NonZeroU32>,
    /// Count only backups that verify or drill has proven to be restorable; newer ones stay, too
    #[arg(long)]
    only_verified: bool,
    /// Keep the WAL to recover to any moment within this time only; older backups keep just the WAL that makes them
    /// consistent, and can be restored only to their own end
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_negative_numbers = true)]
    keep_wal_within: Option<Duration>,
    /// How many of the newest WAL segments to keep at least, even if no backup needs them [default: 0]
    #[arg(long, value_name = "N", visible_alias = "keep-wal", value_parser = whole::<u32>(0..=u32::MAX.into()),
          allow_negative_numbers = true)]
    keep_wals: Option<u32>,
    /// Print what would be removed, and what each backup is kept for, and remove nothing
    #[arg(short = 'n', long, conflicts_with = "prometheus")]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) metrics: PrometheusArgs,
}

/// The rules that keep backups, at least one of which must be given.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Rules {
    /// Keep the N newest full base backups, each with the incremental ones that build on it
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    keep_backups: Option<NonZeroU32>,
    /// Keep what is needed to recover to any moment within this time, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep_within: Option<Duration>,
    /// Keep the last backup of each of the N newest hours that have one
    #[arg(long, value_name = "N", value_parser = positive(), allow_negative_numbers = true)]
    keep_hourly: Option<u32>,
    /// Keep the last backup of each of the N newest days that have one
    #[arg(long, value_name = "N", value_parser = positive(), allow_negative_numbers = true)]
    keep_daily: Option<u32>,
    /// Keep the last backup of each of the N newest weeks, from Monday to Sunday, that have one
    #[arg(long, value_name = "N", value_parser = positive(), allow_negative_numbers = true)]
    keep_weekly: Option<u32>,
    /// Keep the last backup of each of the N newest months that have one
    #[arg(long, value_name = "N", value_parser = positive(), allow_negative_numbers = true)]
    keep_monthly: Option<u32>,
    /// Keep the last backup of each of the N newest years that have one
    #[arg(long, value_name = "N", value_parser = positive(), allow_negative_numbers = true)]
    keep_yearly: Option<u32>,
}

impl Args {
    fn policy(&self) -> PrunePolicy {
        let rules = &self.rules;
        PrunePolicy {
            keep_backups: rules.keep_backups,
            keep_within: rules.keep_within,
            calendar: CalendarRules {
                hourly: rules.keep_hourly.unwrap_or(0),
                daily: rules.keep_daily.unwrap_or(0),
                weekly: rules.keep_weekly.unwrap_or(0),
                monthly: rules.keep_monthly.unwrap_or(0),
                yearly: rules.keep_yearly.unwrap_or(0),
            },
            time_zone: self.time_zone.clone().unwrap_or(TimeZone::UTC),
            min_backups: self.min_backups.unwrap_or(NonZeroU32::MIN),
            only_verified: self.only_verified,
            keep_wal_within: self.keep_wal_within,
            keep_wals: self.keep_wals.unwrap_or(0),
        }
    }
}

/// Parses the number of calendar periods.
fn positive() -> impl Fn(&str) -> Result<u32, String> + Clone {
    whole(1..=u32::MAX.into())
}

fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    let least = if text == "0" { 0 } else { 1 };
    NonZeroU32::new(whole(least..=u32::MAX.into())(text)?).ok_or_else(|| {
        "that would remove every backup there is; to give a repository up, delete its directory or container".to_owned()
    })
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let repository = session.open()?;
    let plan = plan_prune(&repository, &args.policy()).await?;
    if !args.dry_run && plan.removes_something() {
        repository.check_removal().await?;
    }
    let planned = Planned { dry_run: args.dry_run, plan: &plan };
    let shows_reasons = args.dry_run || session.output.verbose;
    session.output.plan(&planned, &plan.notices, |out| print(out, &plan, shows_reasons))?;
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

/// Prints what is removed and kept: the four lines of SwiftWAL 0.2.2, and more if there are several timelines, or if it
/// shows what each backup is kept for.
fn print(out: &mut dyn Write, plan: &PrunePlan, shows_reasons: bool) -> io::Result<()> {
    let backups = |what, keys: &[BackupKey]| Range::of(what, BACKUPS, keys.iter().copied());
    writeln!(out, "{}", backups("Removing", &plan.remove_backups))?;
    writeln!(out, "{}", backups("Keeping", &plan.keep_backups))?;
    for key in plan.keep_backups.iter().filter(|_| shows_reasons) {
        let reasons: Vec<_> = plan.kept_for.of(*key).map(ToString::to_string).collect();
        let only_itself = if plan.only_themselves.contains(key) { "; only itself" } else { "" };
        writeln!(out, "  {key}: {}{only_itself}", reasons.join(", "))?;
    }
    writeln!(out)?;
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
