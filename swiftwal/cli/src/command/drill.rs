//! The subcommand drill: restores a backup into a scratch directory, starts an isolated server on it, and looks at all of
//! its data. What it finds is stored with the backup.
//!
//! "Couldn't look" is never "passed", and never "failed" either. A drill that a signal stops stores nothing; one that its
//! deadline stops has proven nothing. Whatever happens, its server and directory are removed, at the latest by the next
//! drill.

mod assertions;
mod examination;
mod problem;
mod report;

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use swiftwal_core::{BackupKey, Proof, ProofKind, Repository, Verdict};
use tokio::{task::spawn_blocking, time::Instant};

use self::{
    assertions::Assertions,
    examination::{Examination, PURPOSE},
    problem::Problem,
    report::{Found, Report, seconds},
};
use super::target_args::TargetArgs;
use crate::{
    failure::{Failure, Finding},
    isolated_server::{self, Scratch},
    log,
    message::chain,
    session::Session,
    stop::Stop,
    values::{BackupArg, bytes, whole},
};

/// How long a stopped drill may take to stop its server, to store what it found, and to remove its directory.
pub(crate) const CLEARING: Duration = Duration::from_secs(120);
/// The most parallel jobs.
const MOST_JOBS: u64 = 64;

/// Prove that a backup can be restored: restore it, start a server on it, and read all its data.
///
/// The copy and its server are in a directory below --scratch, which is removed afterwards. The server is PostgreSQL of the
/// backup's version on this machine. It reads nothing of the original configuration, listens only on a socket that no other
/// user can reach, archives nothing and connects to nothing. The result is stored with the backup.
///
/// passed (exit code 0): everything was checked, and nothing is wrong. failed (3): the backup can't be restored, or not to
/// the target, or its data is damaged, or an assertion isn't true. not proven (4): something prevented the drill from
/// finding out. With 1, the drill couldn't begin, and nothing is stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples, as the user postgres:
  swiftwal -c /etc/swiftwal.toml drill
  swiftwal -c /etc/swiftwal.toml drill latest --sql /etc/swiftwal/assertions.sql --scratch /srv/scratch
With a limit, from a timer:
  swiftwal -c /etc/swiftwal.toml --deadline 6h drill")]
pub(crate) struct Args {
    /// The backup: its key or a unique prefix of it, or latest (with a target, the newest that can reach it)
    #[arg(value_name = "KEY|latest", default_value = "latest")]
    backup: BackupArg,
    #[command(flatten)]
    target: TargetArgs,
    /// Run the queries in FILE on the restored cluster; every value of every row of each must be true, and a query without a
    /// row fails
    #[arg(long, value_name = "FILE")]
    sql: Option<PathBuf>,
    /// The database in which they are run
    #[arg(long, value_name = "NAME", default_value = "postgres", requires = "sql")]
    sql_database: String,
    /// A superuser of the cluster
    #[arg(short = 'U', long, value_name = "NAME", default_value = "postgres")]
    username: String,
    /// Check more, which takes longer: search each index from its root, and dump everything to nowhere
    #[arg(long)]
    full: bool,
    /// Check that many tables and indexes at the same time
    #[arg(short, long, value_name = "N", default_value = "2", value_parser = whole::<usize>(1..=MOST_JOBS), allow_negative_numbers = true)]
    jobs: usize,
    /// The directory in which the backup is restored into a new directory [default: that for temporary files, TMPDIR or /tmp]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Stop when less than this is free there, in bytes or as 500M or 4G
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = bytes)]
    keep_free: u64,
    /// The directory of PostgreSQL's programs [default: /usr/lib/postgresql/VERSION/bin, or else that of postgres in PATH]
    #[arg(long, value_name = "DIR")]
    bindir: Option<PathBuf>,
    /// The libraries that the server preloads, as in shared_preload_libraries, if recovery needs one; by default none is
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    preload: String,
    /// Show progress of the restore
    #[arg(short = 'P', long)]
    progress: bool,
}

/// How a drill ended.
enum Outcome {
    Examined(Result<(), Problem>),
    Stopped(Stop),
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    let began = Instant::now();
    isolated_server::refuse_root()?;
    let assertions = args.sql.as_deref().map(Assertions::read).transpose()?;
    let repository = session.open()?;
    let parent = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let created = async { Ok(Scratch::create(&parent, PURPOSE).await?) };
    let scratch = session.watchdog.unless_stopped(created).await?;
    let mut examination = Examination::new(&args, assertions.as_ref(), session, &repository, &scratch);
    let outcome = tokio::select! {
        // Checked first: otherwise the failure of a child that the same Ctrl-C has killed would be reported as the reason.
        biased;
        stop = session.watchdog.stopped() => Outcome::Stopped(stop),
        examined = Box::pin(examination.run()) => Outcome::Examined(examined),
    };
    let (key, mut report) = examination.end().await;
    let verdict = verdict(outcome, &mut report);
    let seconds = seconds(began.elapsed());
    let at = match (key, &verdict) {
        (Some(key), Ok(verdict)) => {
            session.watchdog.doing("storing what the drill found");
            let recorded = record(&repository, key, (*verdict, seconds), &report).await;
            recorded.inspect_err(|error| tracing::warn!("the result isn't recorded: {}", chain(error))).ok()
        }
        _ => None,
    };
    session.watchdog.doing(format!("removing {}", scratch.path().display()));
    remove(scratch).await;
    let verdict = verdict?;
    if let Some(reason) = &report.reason {
        let backup = key.map(|key| format!("backup {key}: ")).unwrap_or_default();
        log::say(format_args!("{backup}{reason}"));
    }
    if let Some(key) = key {
        let found = Found { key, verdict, seconds, at, report: &report };
        if session.output.json {
            session.output.json(&found)?;
        } else {
            session.output.text(|out| found.write(out, repository.location()))?;
        }
    }
    match verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed => Err(Failure::Found(Finding::Damage)),
        Verdict::NotProven => Err(Failure::Found(Finding::Unproven)),
    }
}

/// Stores what was found with the backup, and returns the storage's time.
async fn record(
    repository: &Repository,
    key: BackupKey,
    (verdict, seconds): (Verdict, f64),
    report: &Report,
) -> swiftwal_core::Result<Timestamp> {
    let at = repository.storage_now().await?;
    let proof = Proof::new(ProofKind::Drill, at, verdict, seconds);
    repository.store_proof(key, &proof, report).await?;
    Ok(at)
}

/// Removes the directory. If that fails, the next drill tries again.
async fn remove(scratch: Scratch) {
    let path = scratch.path().display().to_string();
    let removed = spawn_blocking(|| scratch.remove()).await.map_err(std::io::Error::other).flatten();
    if let Err(error) = removed {
        tracing::warn!("can't remove {path}: {error}; the next drill in that directory tries again");
    }
}

/// Returns the verdict, and adds its reason to the report.
///
/// # Errors
///
/// The drill couldn't begin, or was stopped by a signal.
fn verdict(outcome: Outcome, report: &mut Report) -> Result<Verdict, Failure> {
    let (verdict, reason) = match outcome {
        Outcome::Examined(Ok(())) => return Ok(Verdict::Passed),
        Outcome::Examined(Err(Problem::Refused(failure))) => return Err(failure),
        Outcome::Stopped(stop @ Stop::Signal(_)) => return Err(Failure::Stopped(stop)),
        Outcome::Stopped(stop @ Stop::Deadline(_)) => (Verdict::NotProven, stop.to_string()),
        Outcome::Examined(Err(Problem::Failed(reason))) => (Verdict::Failed, reason),
        Outcome::Examined(Err(Problem::NotProven(reason))) => (Verdict::NotProven, reason),
    };
    report.reason = Some(reason);
    Ok(verdict)
}
