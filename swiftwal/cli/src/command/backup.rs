//! The subcommand backup.

mod method;
mod mode;
mod reporter;

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use swiftwal_core::{BackupEvent, BackupMode, BackupOptions, BackupRecord, Error};
use swiftwal_postgres::{Checkpoint, CopyOptions, MaxRate};
use tokio::{sync::oneshot, time::timeout};

use self::{method::Method, mode::ModeArgs, reporter::Reporter};
use super::server_args::ServerArgs;
use crate::{
    failure::{Failure, Finding},
    log,
    message::chain,
    prometheus::{
        self, Change, PrometheusArgs,
        metrics::{BACKUP_INVALID_PAGES, BACKUP_SIZE, BACKUP_STORED, Metric},
    },
    session::Session,
    values::duration,
};

/// What the role needs that takes the backup.
const ROLE: &str = "The role to connect as. It needs the REPLICATION attribute; for local, it must be a superuser, or be a member \
                    of pg_read_all_settings that may execute pg_backup_start and pg_backup_stop";
/// The default label.
const LABEL: &str = "swiftwal base backup";
/// The time that a stopped backup may take to remove what it stored. The user who stopped it is waiting.
pub(crate) const CLEARING: Duration = Duration::from_secs(10);

/// Take a base backup of a running server.
///
/// The backup is listed only when it can be restored. With --xlog, it contains the WAL that makes it consistent;
/// without --xlog, swiftwal waits until archive_command has stored that WAL in the repository.
///
/// The connection settings are those of psql: PGHOST, PGPORT, PGUSER and so on, and a password in ~/.pgpass.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
                        swiftwal -c /etc/swiftwal.toml -v backup -c fast -H db1\n\
                        Each day, a full backup once a week and incremental ones in between:\n  \
                        swiftwal -c /etc/swiftwal.toml backup --full-every 7 -c fast")]
#[command(mut_arg("username", |role| role.help(ROLE)))]
pub(crate) struct Args {
    /// Include the WAL that makes the backup consistent. It is copied last; until then, a temporary replication slot
    /// prevents the server from removing it
    #[arg(short, long)]
    xlog: bool,
    /// Checkpoint mode: fast (at once) or spread (slowly, less load) [default: spread]
    #[arg(short, long, value_name = "fast|spread", value_parser = checkpoint)]
    pub(crate) checkpoint: Option<Checkpoint>,
    /// How to copy the server's data: local, the fastest, reads the server's files, on its host and as its user;
    /// replication receives it over a replication connection; pg_basebackup runs the program of that name, which can't
    /// copy tablespaces [default: local where it is possible, else replication]
    #[arg(long, value_name = "local|pg_basebackup|replication", value_parser = Method::parse)]
    method: Option<Method>,
    #[command(flatten)]
    mode: ModeArgs,
    /// Start a new repository where one that this machine has used has vanished
    #[arg(long)]
    create: bool,
    /// Show progress
    #[arg(short = 'P', long)]
    progress: bool,
    /// Copy at most this much per second, in kilobytes or as 500k or 20M; from 32k to 1024M
    #[arg(long, value_name = "RATE")]
    max_rate: Option<MaxRate>,
    /// Don't verify the checksums of the server's pages
    #[arg(long)]
    no_verify_checksums: bool,
    /// The text of the backup label
    #[arg(short, long)]
    label: Option<String>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    #[command(flatten)]
    pub(crate) metrics: PrometheusArgs,
    /// How long to wait for the next WAL segment to be archived, in seconds or as 5min or 2h; six hours at most
    /// [default: 60]
    #[arg(long, value_name = "DURATION", value_parser = duration, allow_negative_numbers = true)]
    pub(crate) archive_timeout: Option<Duration>,
    /// Read the configuration from FILE, in TOML or as KEY=VALUE lines
    // The global option without its short form, which is --checkpoint's here.
    #[arg(long, value_name = "FILE", help_heading = "Global options")]
    config: Option<std::path::PathBuf>,
}

fn checkpoint(text: &str) -> Result<Checkpoint, &'static str> {
    text.parse().map_err(|_| {
        "the checkpoint mode is fast or spread; to name a configuration file here, use --config FILE, since with \
         backup -c is --checkpoint"
    })
}

pub(crate) async fn run(args: Args, session: &Session<'_>) -> Result<(), Failure> {
    args.mode.check()?;
    let mut options = BackupOptions {
        label: args.label.unwrap_or_else(|| LABEL.to_owned()),
        mode: BackupMode::Full,
        checkpoint: args.checkpoint.unwrap_or_default(),
        include_wal: args.xlog,
        codec: session.config.codec,
        archive_timeout: session.config.archive_timeout,
        copy: CopyOptions { max_rate: args.max_rate, skips_checksums: args.no_verify_checksums },
        estimate_size: args.progress,
    };
    options.check()?;
    let repository = session.open_to_store(args.create)?;
    let prepared = async {
        let source =
            method::source(args.method, args.mode.may_be_incremental(), &session.config.server).await?;
        Ok::<_, Failure>((source, args.mode.mode(&repository).await?))
    };
    let (source, mode) = tokio::select! {
        stop = session.watchdog.stopped() => return Err(Failure::Stopped(stop)),
        prepared = prepared => prepared?,
    };
    options.mode = mode;
    let textfile = args.metrics.textfile(session);
    let (reporter, write_failure) = Reporter::new(session.output, repository.location(), args.progress);
    let stage = Mutex::new(Stage::Nothing);
    let observe = |event: BackupEvent<'_>| match event {
        BackupEvent::Claiming => *locked(&stage) = Stage::Stored,
        BackupEvent::Committing => *locked(&stage) = Stage::Committing,
        event => reporter.report(event),
    };
    session.watchdog.doing("taking the backup");
    let (stop, stopped) = oneshot::channel::<Infallible>();
    let backup = swiftwal_core::backup(&repository, &*source, &options, &observe, stopped.map(drop));
    let mut backup = pin!(backup);
    let done = tokio::select! {
        // Checked first: otherwise the failure of a child that the same Ctrl-C has killed would be reported as the
        // reason.
        biased;
        stop = session.watchdog.stopped() => Err(Failure::Stopped(stop)),
        Ok(failure) = write_failure => Err(failure),
        done = &mut backup => Ok(done),
    };
    let record = match done {
        Ok(done) => done?,
        Err(failure) => {
            let is_signal = matches!(failure, Failure::Stopped(_));
            if is_signal && *locked(&stage) == Stage::Stored {
                log::say(format_args!(
                    "stopping: removing the incomplete backup; interrupt again to leave that to prune"
                ));
            }
            drop(stop);
            let Some(record) = ended(backup, CLEARING, || *locked(&stage)).await else { return Err(failure) };
            if is_signal {
                log::say(format_args!("backup {} had already been committed and is kept", record.key));
            }
            record
        }
    };
    if let Some(textfile) = &textfile {
        prometheus::warn_unless_written(textfile, sizes(&record));
    }
    reporter.finish(&record)?;
    match record.damage_notice() {
        None => Ok(()),
        Some(notice) => {
            log::say(format_args!(
                "{notice}; it is stored, and has everything else. Repair the server's data, then take another backup: \
                 prune keeps an older one without damage"
            ));
            Err(Failure::Found(Finding::Damage))
        }
    }
}

/// Returns the metrics of a backup that was stored.
fn sizes(record: &BackupRecord) -> Vec<(Metric, Change)> {
    let set = |bytes: u64| Change::Set(bytes as f64);
    let data = record.objects.iter().filter_map(|object| object.tar_bytes).sum();
    let stored = record.objects.iter().map(|object| object.bytes).sum();
    vec![
        (BACKUP_SIZE, set(data)),
        (BACKUP_STORED, set(stored)),
        (BACKUP_INVALID_PAGES, set(record.damaged_pages)),
    ]
}

/// The stage of a backup, which decides what may remain of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    /// Objects of the backup may be in the repository.
    Stored,
    /// The backup itself may exist.
    Committing,
}

fn locked(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits, for at most `limit`, until a stopped backup has removed what it stored, and reports what remains. Returns its
/// record if it was committed before it stopped.
async fn ended(
    backup: impl Future<Output = swiftwal_core::Result<BackupRecord>> + Send,
    limit: Duration,
    stage: impl FnOnce() -> Stage + Send,
) -> Option<BackupRecord> {
    match timeout(limit, backup).await {
        Ok(Ok(record)) => return Some(record),
        // The failure of a child that the same Ctrl-C has killed isn't reported.
        Ok(Err(Error::Stopped | Error::Source(_))) => {}
        Ok(Err(error)) => log::say(format_args!("{}", chain(&error))),
        Err(_) => {
            let seconds = limit.as_secs();
            match stage() {
                Stage::Nothing => {}
                Stage::Stored => log::say(format_args!(
                    "what was stored is left for prune to remove: the cleanup wasn't done within {seconds} seconds"
                )),
                Stage::Committing => log::say(format_args!(
                    "the storage didn't answer within {seconds} seconds: the backup may or may not have been committed; \
                     check with list-backups"
                )),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::future;

    use super::*;

    #[tokio::test]
    async fn a_storage_that_never_answers_holds_up_a_stopped_backup_no_longer_than_the_limit() {
        assert!(ended(future::pending(), Duration::ZERO, || Stage::Committing).await.is_none());
    }
}
