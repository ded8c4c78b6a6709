//! The subcommand restore-wal.

mod prefetch;

use std::{path::PathBuf, time::Duration};

use serde_json::json;
use swiftwal_core::{Error, restore_received_wal, restore_wal, restore_wal_hashed};
use swiftwal_postgres::{Timeline, WalName};
use tokio::time::{Instant, sleep};

use self::prefetch::Prefetch;
use crate::{
    exit::Caller, failure::Failure, message::chain, session::Session, standby::serves_standby, values::whole,
};

/// The first pause before a standby's request for a history is repeated. Each later one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The pause before a file is requested again that may be on its way.
const ON_ITS_WAY_PAUSE: Duration = Duration::from_secs(1);
/// The most that a standby is made to wait for such a file: it asks again by itself.
const STANDBY_WAIT: Duration = Duration::from_secs(3);

/// The largest values of `--prefetch` and `--jobs`.
const MOST_SEGMENTS: u64 = 1_000_000;
const MOST_JOBS: u64 = 64;

/// Fetch a WAL file: PostgreSQL's restore_command.
///
/// Exit code 0: PATH is the complete file. 1: the file is proven not to be in the repository, and no later WAL is there, or
/// PostgreSQL doesn't need the file from it; PostgreSQL ends recovery (a standby asks again). 128 or above: any other
/// failure, such as a hole in the WAL; PostgreSQL stops recovery. On a standby, other failures give 1, too. If a standby
/// asks for a timeline's .history while the storage fails, restore-wal retries until the deadline before it exits with 1,
/// since the standby takes 1 to mean that the timeline isn't in use.
///
/// If later WAL was stored less than a minute ago, the missing file may be on its way: restore-wal waits for it, at most
/// half of the time until the deadline, and at most 3 seconds on a standby.
///
/// While PostgreSQL replays a segment, a process in the background fetches the next ones. It runs only for a server in
/// recovery, and ends by itself when no segment was asked for in 30 seconds, or when the server stops. Nothing is fetched
/// ahead for pg_rewind, for restore-wal by hand, or with --json.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in postgresql.conf (restore writes it for you):\n  \
                        restore_command = 'swiftwal -c /etc/swiftwal.toml restore-wal %f \"%p\"'")]
pub(crate) struct Args {
    /// If a segment and everything newer is missing, fetch the incomplete segment that receive-wal has stored, as the last
    /// one. A standby doesn't get it
    #[arg(long)]
    use_partial: bool,
    /// Fetch that many segments ahead; 0 for none [default: as many as 256 MiB contain, 16 of the usual size]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(0..=MOST_SEGMENTS), allow_negative_numbers = true)]
    prefetch: Option<usize>,
    /// Fetch that many of them at the same time [default: the number of cores, but 4 to 8]
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=MOST_JOBS), allow_negative_numbers = true)]
    jobs: Option<usize>,
    /// The directory for segments that were fetched ahead. It must not be in the data directory [default: the directory
    /// spool in the state directory]
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// The name of the WAL file
    name: WalName,
    /// Where to put the file: a file name, or a directory
    path: PathBuf,
    /// If a segment is missing and later WAL is stored, end recovery there: exit with 1 and a warning. What was written
    /// later is given up
    #[arg(long)]
    end_at_hole: bool,
}

impl Args {
    /// Returns the timeline whose history is requested, if one is.
    pub(crate) fn history(&self) -> Option<Timeline> {
        match self.name {
            WalName::History(timeline) => Some(timeline),
            _ => None,
        }
    }
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let fetched = if args.history().is_some() && serves_standby() {
        fetch_until_answered(&args, session).await
    } else {
        match fetch_or_await(&args, session).await {
            Err(failure) if failure.is_proven_absence() && fetch_partial(&args, session).await? => Ok(None),
            fetched => fetched,
        }
    };
    let hash = fetched.map_err(|failure| answer(failure, args.end_at_hole))?;
    tracing::info!("{} fetched", args.name);
    if let Some(blake3) = hash {
        // The file is in place: a closed stdout must not turn that into a failure for PostgreSQL.
        drop(session.output.json(&json!({ "name": args.name, "path": args.path, "blake3": blake3 })));
    }
    Ok(())
}

/// Returns the failure that PostgreSQL is to see.
fn answer(failure: Failure, end_at_hole: bool) -> Failure {
    match failure {
        // Without the history, a server that ends recovery would take the number of a timeline that is in use.
        Failure::Flow(Error::WalHole { name: WalName::History(timeline), location, .. })
            if serves_standby() =>
        {
            Failure::TimelineInUse { timeline, location }
        }
        // A standby asks again: it doesn't end recovery.
        Failure::Flow(error) if end_at_hole && !serves_standby() => Failure::Flow(end_at(error)),
        other => other,
    }
}

/// Returns the error with which PostgreSQL ends recovery before a segment that it can't have.
fn end_at(error: Error) -> Error {
    let (name, location, given_up) = match &error {
        Error::WalHole { name: name @ WalName::Segment(_), location, .. } => {
            (*name, location.clone(), "the later WAL is given up")
        }
        Error::WalBehindBranch { segment, location, .. } => {
            (WalName::Segment(*segment), location.clone(), "this segment is given up")
        }
        _ => return error,
    };
    tracing::warn!("{error}; recovery ends here, because of --end-at-hole: {given_up}");
    Error::WalAbsent { name, location }
}

/// Fetches the file. Returns the hash of its content for `--json`.
async fn fetch(args: &Args, session: &Session<'_>) -> Result<Option<String>, Failure> {
    let repository = session.open()?;
    let prefetch = Prefetch::new(args, session, &repository);
    if let Some(prefetch) = &prefetch
        && prefetch.take(&args.path, session).await
    {
        return Ok(None);
    }
    session.watchdog.doing(format!("fetching {} from {}", args.name, repository.location()));
    let found = |bytes| session.watchdog.allow_for(bytes);
    if session.output.json {
        return Ok(Some(restore_wal_hashed(&repository, args.name, &args.path, &found).await?));
    }
    restore_wal(&repository, args.name, &args.path, &found).await?;
    if let Some(prefetch) = &prefetch {
        prefetch.fetched(session).await;
    }
    Ok(None)
}

/// Fetches the beginning of a missing segment, if it is requested and there is one.
async fn fetch_partial(args: &Args, session: &Session<'_>) -> Result<bool, Failure> {
    match args.name {
        WalName::Segment(segment) if args.use_partial && !serves_standby() => {
            Ok(restore_received_wal(&session.open()?, segment, &args.path).await?)
        }
        _ => Ok(false),
    }
}

/// As [`fetch`]; waits for a missing file that may be on its way, since later WAL was stored just now.
async fn fetch_or_await(args: &Args, session: &Session<'_>) -> Result<Option<String>, Failure> {
    let mut end = None;
    loop {
        let (failure, settles_in) = match fetch(args, session).await {
            Err(Failure::Flow(hole @ Error::WalHole { settles_in, .. })) if !settles_in.is_zero() => {
                (Failure::Flow(hole), settles_in)
            }
            answer => return answer,
        };
        let now = Instant::now();
        let end = *end.get_or_insert_with(|| {
            tracing::info!("{failure}; that was stored just now, so {} may be on its way", args.name);
            now + settles_in.min(longest_wait(session))
        });
        let left = end.saturating_duration_since(now).min(settles_in);
        if left.is_zero() {
            return Err(failure);
        }
        session.watchdog.doing(format!("waiting for {}, which may be on its way", args.name));
        sleep(ON_ITS_WAY_PAUSE.min(left)).await;
    }
}

/// Returns the most that PostgreSQL is made to wait for a file that may be on its way. Before the deadline, so that it is
/// told about the hole.
fn longest_wait(session: &Session<'_>) -> Duration {
    if serves_standby() {
        return STANDBY_WAIT;
    }
    session.watchdog.time_left().map_or(Duration::MAX, |left| left / 2)
}

/// Fetches a history for a standby, and retries as long as there is no answer and time is left.
///
/// A standby takes a failure to mean that the timeline isn't in use, and no exit code would tell it anything else
/// without stopping it; see docs/decisions/exit-codes.md.
async fn fetch_until_answered(args: &Args, session: &Session<'_>) -> Result<Option<String>, Failure> {
    let default = Caller::RestoreCommand.default_deadline().unwrap_or_default();
    let end = Instant::now() + session.watchdog.time_left().unwrap_or(default);
    let mut pause = FIRST_PAUSE;
    loop {
        let failure = match fetch_or_await(args, session).await {
            Err(failure) if failure.may_pass() => failure,
            answer => return answer,
        };
        if Instant::now() + pause >= end {
            return Err(failure);
        }
        tracing::warn!("{}; trying again in {} s", chain(&failure), pause.as_secs());
        session.watchdog.doing(format!("waiting to request {} again: {}", args.name, chain(&failure)));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
