//! The interface of a source of base backups: the request, and the events of a backup.

mod checkpoint;
mod copy_options;
mod parent_manifest;
mod request;
mod start;

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::{
    checkpoint::{Checkpoint, ParseCheckpointError},
    copy_options::{CopyOptions, MaxRate, ParseMaxRateError},
    parent_manifest::ParentManifest,
    request::BaseBackupRequest,
    start::{BackupStart, ExpectedArchive, Tablespace},
};
use crate::{Lsn, ServerSession, SourceError, Timeline};

/// The largest number of bytes in one [`BaseBackupEvent::Data`] or [`BaseBackupEvent::Manifest`]: 4 MiB.
pub const CHUNK_BYTES: usize = 4 << 20;

/// The events of a base backup, in this order: one `Started`, then for each archive one `Archive` and its `Data`, then
/// one `Finished`. The archives may come in any order: PostgreSQL sends that of the data directory, which begins with
/// the backup label, after those of the tablespaces. `ServerWarning`, `Warning` and `Estimate` may come at any time before `Finished`,
/// `Manifest`, `WaitingForArchiver` and `DamagedPages` between `Started` and `Finished`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaseBackupEvent {
    /// The checkpoint is done and the backup has begun.
    Started(BackupStart),
    /// A tar archive begins, and the previous one is complete.
    Archive {
        /// The tablespace whose archive it is; `None` for the data directory.
        tablespace: Option<Tablespace>,
    },
    /// A warning of the server, or of `pg_basebackup`, in its words. Control characters are escaped.
    ServerWarning(String),
    /// A warning of the source itself. Control characters are escaped.
    Warning(String),
    /// The approximate amount of data, without the WAL.
    Estimate {
        /// The size of all archives together, in bytes.
        bytes: u64,
    },
    /// The next bytes of the current archive: never empty, at most [`CHUNK_BYTES`].
    Data(Bytes),
    /// The next bytes of PostgreSQL's manifest of the backup (version 13 and later), even if it is in an archive as
    /// well: never empty, at most [`CHUNK_BYTES`].
    Manifest(Bytes),
    /// The server has sent everything but the end, and waits until its archiver has archived the WAL that the backup
    /// needs; for ever, if archive_command fails.
    WaitingForArchiver,
    /// The server has found pages that fail their checksum, before `Finished`. All data has been sent, those pages
    /// included.
    DamagedPages {
        /// The number of these pages, at least one.
        count: u64,
        /// What the server says about them. Control characters are escaped.
        words: String,
    },
    /// The server has confirmed that the backup is complete. Without this event there is no backup.
    Finished {
        /// The end of the WAL (exclusive) that recovery must reach before the data is consistent.
        lsn: Lsn,
        /// The timeline of that WAL.
        timeline: Timeline,
    },
}

/// Takes base backups of one PostgreSQL server.
#[async_trait]
pub trait BaseBackupSource: fmt::Debug + Send + Sync {
    /// Connects to the server to query facts before a backup; `None` if this source can't query the server.
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        Ok(None)
    }

    /// Requests a base backup. The stream's first event comes when the server has made the checkpoint.
    ///
    /// It may also wait for the checkpoint itself, without a limit: the caller must set one. A cancelled call cancels the
    /// checkpoint.
    ///
    /// # Errors
    ///
    /// A server that can't be reached, or that refuses, may also be reported by the stream's first `next`.
    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError>;
}

/// A base backup in progress. Dropping it ends the connection. That ends the backup, at the latest when the server next
/// writes to the connection.
#[async_trait]
pub trait BaseBackupStream: fmt::Debug + Send {
    /// Waits for the next event; returns `None` after `Finished`, and never before.
    ///
    /// It waits as long as the server does, without a limit: for minutes at the start, while a spread checkpoint is
    /// made, and for ever at the end, if the server waits for a failing archive_command. The caller must set a limit.
    /// After an error, and after a cancelled call, the stream can only be dropped.
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError>;
}
