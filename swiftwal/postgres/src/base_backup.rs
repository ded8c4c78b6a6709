//! The sources of base backups.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Lsn, ServerSession, SourceError, Timeline};

/// The most bytes that one [`BaseBackupEvent::Data`] carries: 4 MiB.
pub const CHUNK_BYTES: usize = 4 << 20;

/// How the server makes the checkpoint that a backup starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoint {
    /// At once, at the price of a burst of writes.
    Fast,
    /// Over `checkpoint_completion_target` of `checkpoint_timeout`: minutes, not seconds.
    #[default]
    Spread,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Spread => "spread",
        })
    }
}

impl FromStr for Checkpoint {
    type Err = ParseCheckpointError;

    fn from_str(text: &str) -> Result<Self, ParseCheckpointError> {
        match text {
            "fast" => Ok(Self::Fast),
            "spread" => Ok(Self::Spread),
            _ => Err(ParseCheckpointError { text: text.to_owned() }),
        }
    }
}

/// The text isn't a checkpoint mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a checkpoint mode; use \"fast\" or \"spread\"")]
pub struct ParseCheckpointError {
    text: String,
}

/// Which base backup is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseBackupRequest {
    /// The text of the `LABEL` line in the backup label.
    pub label: String,
    /// How the server makes the checkpoint.
    pub checkpoint: Checkpoint,
    /// Whether the data directory's archive carries the WAL from start to stop in its `pg_wal`.
    pub include_wal: bool,
    /// Ask the server for the size of the backup: it looks at every file for that before it begins.
    pub estimate_size: bool,
}

/// A tablespace outside the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// Its number: the name of its link in `pg_tblspc`.
    pub oid: u32,
    /// Its directory on the server.
    pub location: String,
}

/// What happens in the course of a base backup, in this order: one `Started`, then for each archive one `Archive` and
/// its `Data`, then one `Finished`. `Warning` and `Estimate` may come at any time before that.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BaseBackupEvent {
    /// The checkpoint is done and the backup has begun.
    Started {
        /// Where recovery from this backup begins to read WAL.
        lsn: Lsn,
        /// The timeline of that WAL.
        timeline: Timeline,
    },
    /// A tar archive begins, and the one before it is complete.
    Archive {
        /// Whose archive it is; `None`: the data directory's.
        tablespace: Option<Tablespace>,
    },
    /// The server, or the program that makes the backup, warns of something. Control characters are escaped.
    Warning(String),
    /// About how much data there will be, the WAL not counted.
    Estimate {
        /// The size of all archives together.
        bytes: u64,
    },
    /// The next bytes of the current archive: never empty, at most [`CHUNK_BYTES`].
    Data(Bytes),
    /// The server said that the backup is complete. Without this event there is no backup.
    Finished {
        /// Recovery must reach this end of the WAL, which is exclusive, before the data is consistent.
        lsn: Lsn,
        /// The timeline of that WAL.
        timeline: Timeline,
    },
}

/// Makes base backups of one PostgreSQL server.
#[async_trait]
pub trait BaseBackupSource: fmt::Debug + Send + Sync {
    /// Connects to the server to ask what can be known before a backup; `None` where this source has no way to ask.
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        Ok(None)
    }

    /// Asks for a base backup; the stream's first event comes when the server has made the checkpoint.
    ///
    /// A server that can't be reached or that refuses may show here or in the stream's first `next`.
    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError>;
}

/// A base backup in progress. Dropping it ends the connection, and so the backup: at the latest when the server next
/// writes to it.
#[async_trait]
pub trait BaseBackupStream: fmt::Debug + Send {
    /// Waits for the next event; `None` after `Finished`, and never before.
    ///
    /// It waits as long as the server takes, without a limit: for minutes at the start, while a spread checkpoint is
    /// made, and for ever at the end, if the server waits for a broken archive_command. Set the limit around it. After an
    /// error, and after a call that was cancelled, the stream can only be dropped.
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_mode_is_read_as_it_is_printed_and_spread_by_default() {
        for mode in [Checkpoint::Fast, Checkpoint::Spread] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("Fast".parse::<Checkpoint>().is_err());
        assert_eq!(Checkpoint::default(), Checkpoint::Spread);
    }
}
