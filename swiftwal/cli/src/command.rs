//! The subcommands, one file each.

pub(crate) mod archive_cleanup;
pub(crate) mod archive_wal;
pub(crate) mod backup;
pub(crate) mod label;
pub(crate) mod list_backups;
pub(crate) mod list_wal;
pub(crate) mod prune;
pub(crate) mod restore;
pub(crate) mod restore_wal;

use std::{io, time::Duration};

use tokio::runtime::{self, Runtime};

use crate::{args::Command, exit::Caller, failure::Failure, session::Session};

/// How long a command that PostgreSQL waits for stays at its end for what still runs on blocking threads.
pub(crate) const LAST_WRITES: Duration = Duration::from_secs(2);

impl Command {
    /// Who acts on the exit code.
    pub(crate) fn caller(&self) -> Caller {
        match self {
            Self::ArchiveWal(_) => Caller::ArchiveCommand,
            Self::RestoreWal(_) => Caller::RestoreCommand,
            _ => Caller::Anyone,
        }
    }

    /// Does it.
    pub(crate) fn run(self, session: &Session<'_>) -> Result<(), Failure> {
        let runtime = self.runtime().map_err(Failure::Runtime)?;
        let caller = self.caller();
        let outcome = runtime.block_on(async {
            match self {
                Self::Backup(args) => backup::run(args, session).await,
                Self::Restore(args) => restore::run(args, session).await,
                Self::ListBackups(_) => list_backups::run(session).await,
                Self::ListWal(_) => list_wal::run(session).await,
                Self::Label(args) => label::run(args, session).await,
                Self::ArchiveWal(args) => archive_wal::run(args, session).await,
                Self::RestoreWal(args) => restore_wal::run(args, session).await,
                Self::Prune(args) => prune::run(args, session).await,
                Self::ArchiveCleanup(args) => archive_cleanup::run(args, session).await,
            }
        });
        match caller {
            // A restore that failed still removes what it wrote: that must not stop half-way.
            Caller::Anyone => drop(runtime),
            Caller::ArchiveCommand | Caller::RestoreCommand => runtime.shutdown_timeout(LAST_WRITES),
        }
        outcome
    }

    /// One thread that waits for everything: PostgreSQL starts a process for every WAL file, and what comes through
    /// pg_basebackup's pipe would wake a second thread for every few kilobytes. Compression has threads of its own; a
    /// restore has more to do beside that.
    fn runtime(&self) -> io::Result<Runtime> {
        let mut builder = match self {
            Self::Restore(_) => runtime::Builder::new_multi_thread(),
            _ => runtime::Builder::new_current_thread(),
        };
        builder.enable_all().build()
    }
}
