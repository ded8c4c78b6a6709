//! The subcommands, one file each.

pub(crate) mod archive_cleanup;
pub(crate) mod archive_wal;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod delete;
pub(crate) mod drill;
pub(crate) mod info;
pub(crate) mod keep;
pub(crate) mod label;
pub(crate) mod list_backups;
pub(crate) mod list_wal;
pub(crate) mod prefetch_wal;
pub(crate) mod prune;
pub(crate) mod receive_wal;
pub(crate) mod restore;
pub(crate) mod restore_wal;
mod server_args;
mod target_args;
pub(crate) mod timeline;
pub(crate) mod verify;

use std::{io, num::NonZeroUsize, thread::available_parallelism, time::Duration};

use clap::Subcommand;
use swiftwal_postgres::Timeline;
use tokio::runtime::{self, Runtime};

use crate::{
    exit::Caller,
    failure::Failure,
    isolated_server,
    prometheus::{MonitoredRun, PrometheusArgs},
    session::Session,
};

/// How long a command waits at its end for work on blocking threads, unless that work cleans up.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// The most threads of a restore that wait for the storage and decompress.
const MOST_RESTORING_THREADS: usize = 4;
/// How long a stopped restore may take to remove what it wrote.
const REMOVING: Duration = Duration::from_secs(60);

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Backup(backup::Args),
    Restore(restore::Args),
    Drill(drill::Args),
    #[command(visible_alias = "status")]
    Info(info::Args),
    Check(check::Args),
    ListBackups(list_backups::Args),
    ListWal(list_wal::Args),
    Label(label::Args),
    Verify(verify::Args),
    ArchiveWal(archive_wal::Args),
    ReceiveWal(receive_wal::Args),
    RestoreWal(restore_wal::Args),
    PrefetchWal(prefetch_wal::Args),
    #[command(visible_alias = "cleanup")]
    Prune(prune::Args),
    Keep(keep::Args),
    Unkeep(keep::UnkeepArgs),
    Delete(delete::Args),
    ArchiveCleanup(archive_cleanup::Args),
    Timeline(timeline::Args),
}

impl Command {
    /// The program that acts on the exit code.
    pub(crate) fn caller(&self) -> Caller {
        match self {
            Self::ArchiveWal(_) => Caller::ArchiveCommand,
            Self::RestoreWal(_) => Caller::RestoreCommand,
            Self::PrefetchWal(_) => Caller::RestoreWal,
            Self::Info(args) if args.nagios => Caller::Monitoring,
            _ => Caller::Anyone,
        }
    }

    /// Returns the timeline whose history is requested, if one is.
    pub(crate) fn history(&self) -> Option<Timeline> {
        match self {
            Self::RestoreWal(args) => args.history(),
            _ => None,
        }
    }

    /// Returns how long the command may take to clean up after it was stopped.
    pub(crate) fn clearing(&self) -> Duration {
        match self {
            Self::Backup(_) => backup::CLEARING + LAST_WRITES,
            Self::Restore(_) => REMOVING,
            Self::Drill(_) => drill::CLEARING,
            Self::ReceiveWal(_) => receive_wal::CLEARING + LAST_WRITES,
            _ => LAST_WRITES * 2,
        }
    }

    /// Returns the name of a command that updates metrics, and where it writes them.
    fn metrics(&self) -> Option<(&'static str, &PrometheusArgs)> {
        match self {
            Self::Backup(args) => Some(("backup", &args.metrics)),
            Self::Info(args) => Some(("info", &args.metrics)),
            Self::Prune(args) => Some(("prune", &args.metrics)),
            _ => None,
        }
    }

    /// Runs the subcommand.
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        if matches!(self, Self::Drill(_)) {
            // Before the threads of the runtime start: each thread and process inherits it from the one that starts it.
            isolated_server::lower_priority();
        }
        let runtime = self.runtime().map_err(Failure::Runtime)?;
        // After a failure, a restore removes what it wrote. That must not be interrupted.
        let is_done_despite_damage = matches!(self, Self::Backup(_) | Self::Info(_));
        let is_restore = matches!(self, Self::Restore(_) | Self::Drill(_));
        let metrics = self.metrics();
        let monitored =
            metrics.and_then(|(command, args)| Some(MonitoredRun::begin(args.textfile(session)?, command)));
        // These must be asked to stop; dropping them isn't enough, or is a failure although a file is stored.
        let stops_by_itself =
            matches!(self, Self::ArchiveWal(_) | Self::Backup(_) | Self::Drill(_) | Self::ReceiveWal(_));
        let outcome = match stops_by_itself {
            true => runtime.block_on(self.run_to_its_end(session)),
            false => runtime.block_on(session.watchdog.unless_stopped(self.run_to_its_end(session))),
        };
        if let Some(run) = monitored {
            // What a backup or a report has found beside its result has metrics of its own.
            let is_damage = matches!(outcome, Err(Failure::Found(_)));
            let has_looked = matches!(outcome, Ok(()) | Err(Failure::Alert(_)));
            run.end(has_looked || is_damage && is_done_despite_damage);
        }
        if is_restore {
            drop(runtime);
        } else {
            runtime.shutdown_timeout(LAST_WRITES);
        }
        outcome
    }

    async fn run_to_its_end(self, session: &Session<'_>) -> Result<(), Failure> {
        match self {
            Self::Backup(args) => backup::run(args, session).await,
            Self::Restore(args) => restore::run(args, session).await,
            Self::Drill(args) => drill::run(args, session).await,
            Self::Info(args) => info::run(args, session).await,
            Self::Check(args) => check::run(args, session).await,
            Self::ListBackups(_) => list_backups::run(session).await,
            Self::ListWal(_) => list_wal::run(session).await,
            Self::Label(args) => label::run(args, session).await,
            Self::ArchiveWal(args) => archive_wal::run(args, session).await,
            Self::ReceiveWal(args) => receive_wal::run(args, session).await,
            Self::RestoreWal(args) => restore_wal::run(args, session).await,
            Self::PrefetchWal(args) => prefetch_wal::run(args, session).await,
            Self::Prune(args) => prune::run(args, session).await,
            Self::Keep(args) => keep::run(args, session).await,
            Self::Unkeep(args) => keep::unkeep(args, session).await,
            Self::Delete(args) => delete::run(args, session).await,
            Self::ArchiveCleanup(args) => archive_cleanup::run(args, session).await,
            Self::Timeline(args) => timeline::run(args, session).await,
            Self::Verify(args) => verify::run(args, session).await,
        }
    }

    /// A single thread for all waiting: PostgreSQL starts a process for every WAL file, and the data in pg_basebackup's
    /// pipe would wake a second thread for every few kilobytes. Compression has its own threads. A restore has more to
    /// do beside waiting, and gets more threads, but not one for each of many cores: each needs memory. So does the process
    /// that fetches WAL ahead.
    fn runtime(&self) -> io::Result<Runtime> {
        let mut builder = match self {
            Self::Restore(_) | Self::Drill(_) | Self::PrefetchWal(_) | Self::Verify(_) => {
                let cores = available_parallelism().map_or(1, NonZeroUsize::get);
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(cores.min(MOST_RESTORING_THREADS));
                builder
            }
            _ => runtime::Builder::new_current_thread(),
        };
        builder.enable_all().build()
    }
}
