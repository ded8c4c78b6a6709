//! Receives a base backup: `BASE_BACKUP`.
//!
//! Servers from version 15 on send everything in one copy, in which the first byte of each message tells archives, data,
//! manifest and progress apart; versions 13 and 14 send a copy for each archive and one for the manifest. Both become the
//! same [`BackupEvent`]s.
//!
//! The server never waits for its archiver: the caller must see to it that the WAL from start to end is kept.

mod command;
mod copy;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod upload;

use std::{collections::VecDeque, path::PathBuf, time::Duration};

use bytes::Bytes;
use postgres_protocol::message::backend::Message;

use self::copy::{Copies, Item};
pub use self::{
    command::{BackupOptions, ManifestChecksums},
    upload::ManifestUpload,
};
use super::{
    connect::CancelToken,
    error::ReplicationError,
    query::{Rows, send, until_ready},
    server_message::ServerMessage,
    session::Session,
    wire::Received,
};
use crate::{Lsn, Timeline};

const STARTING: &str = "waiting for the base backup to begin";
const RECEIVING: &str = "receiving a base backup";

/// The SQLSTATE of damaged data.
const DATA_CORRUPTED: &str = "XX001";

/// A base backup in progress. Dropping it closes the connection, which ends the backup when the server next writes to it.
#[derive(Debug)]
pub struct BaseBackup {
    session: Session,
    start: Position,
    tablespaces: Vec<BackupTablespace>,
    copies: Copies,
    /// What was received before the first copy.
    early: VecDeque<BackupEvent>,
    end: End,
    silence_limit: Duration,
}

/// A position in the WAL, with its timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The position.
    pub lsn: Lsn,
    /// The timeline.
    pub timeline: Timeline,
}

/// An archive that the server announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupTablespace {
    /// The tablespace's number; `None` for the data directory.
    pub oid: Option<u32>,
    /// Its directory on the server; `None` for the data directory. From version 16 on, that of a tablespace inside the data
    /// directory is relative to it.
    pub location: Option<PathBuf>,
    /// Its approximate size in bytes, if [`BackupOptions::progress`] is set.
    pub bytes: Option<u64>,
}

/// What a base backup consists of.
///
/// For each archive comes one `Archive` and its `Data`: those of the tablespaces first, that of the data directory last.
/// Then comes the manifest, if it was asked for, and `End`. `Progress` and `Notice` may come at any time before `End`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupEvent {
    /// An archive begins, and the previous one is complete.
    Archive {
        /// The tablespace's number; `None` for the data directory.
        tablespace: Option<u32>,
        /// The tablespace's directory on the server; `None` for the data directory.
        location: Option<PathBuf>,
    },
    /// The next bytes of the archive, a complete tar file. Never empty. They are a slice of the receive buffer: keeping them
    /// keeps 256 KiB.
    Data(Bytes),
    /// The next bytes of the manifest.
    Manifest(Bytes),
    /// How much the server has sent of all archives, from version 15 on.
    Progress {
        /// The bytes, of about as many as [`BackupTablespace::bytes`] together.
        bytes: u64,
    },
    /// A warning of the server.
    Notice(ServerMessage),
    /// The backup is complete. Without this event there is no backup.
    End(BackupEnd),
}

/// The end of a base backup.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupEnd {
    /// The end of the WAL (exclusive) that recovery must reach before the data is consistent.
    pub position: Position,
    /// The pages that failed their checksum while they were sent. All data is there, the damaged pages included.
    pub damaged: Option<DamagedPages>,
}

/// Pages that failed their checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DamagedPages {
    /// Their number.
    pub count: u64,
    /// What the server says about them: the warnings before the end name the files.
    pub words: String,
}

/// What has been received since the last copy ended.
#[derive(Debug, Default)]
struct End {
    rows: Rows,
    /// The last warning, which has the number of damaged pages if there are several.
    warning: Option<ServerMessage>,
    is_over: bool,
}

impl BaseBackup {
    /// Requests a base backup, and returns when the server has made its checkpoint and begins to send, which may take up to
    /// [`BackupOptions::start_limit`].
    pub async fn start(session: Session, options: &BackupOptions) -> Result<Self, ReplicationError> {
        let mut session = session;
        let command = command::command(&session, options)?;
        send(&session.wire, &command, STARTING).await?;
        let mut results = Vec::new();
        let mut early = VecDeque::new();
        loop {
            match session.wire.receive_within(options.start_limit, STARTING).await? {
                Received::Notice(notice) => early.push_back(BackupEvent::Notice(notice)),
                Received::Message(Message::RowDescription(_)) => results.push(Rows::default()),
                Received::Message(Message::DataRow(row)) => {
                    results.last_mut().ok_or_else(|| unexpected(STARTING))?.push(&row)?;
                }
                Received::Message(Message::CommandComplete(_)) => {}
                Received::Message(Message::CopyOutResponse(_)) => break,
                _ => return Err(unexpected(STARTING)),
            }
        }
        let [start, tablespaces] = results.as_slice() else { return Err(unexpected(STARTING)) };
        let start = position(start)?;
        let tablespaces = announced(tablespaces)?;
        let mut copies = Copies::new(session.version(), &tablespaces, options.manifest.is_some());
        early.extend(copies.begin()?);
        let (end, silence_limit) = (End::default(), options.silence_limit);
        Ok(Self { session, start, tablespaces, copies, early, end, silence_limit })
    }

    /// Returns where the backup's WAL begins.
    pub fn start_position(&self) -> Position {
        self.start
    }

    /// Returns the archives that the server announced, in the order in which they come.
    pub fn tablespaces(&self) -> &[BackupTablespace] {
        &self.tablespaces
    }

    /// Returns what cancels the backup at once.
    pub fn cancel_token(&self) -> CancelToken {
        self.session.cancel_token()
    }

    /// Returns the session, to be used for something else. Only after `End` is it ready for that.
    pub fn into_session(self) -> Session {
        self.session
    }

    /// Waits for the next event; returns `None` after `End`, and never before. The call may be cancelled and repeated.
    ///
    /// # Errors
    ///
    /// After an error the backup is void. Pages that failed their checksum are no error: see [`BackupEnd::damaged`].
    pub async fn next(&mut self) -> Result<Option<BackupEvent>, ReplicationError> {
        if let Some(event) = self.early.pop_front() {
            return Ok(Some(event));
        }
        while !self.end.is_over {
            let event = match self.session.wire.receive_within(self.silence_limit, RECEIVING).await {
                Ok(Received::Notice(notice)) => {
                    self.end.warning = Some(notice.clone());
                    Some(BackupEvent::Notice(notice))
                }
                Ok(Received::Message(message)) => self.message(message)?,
                Ok(Received::CopyBoth) => return Err(unexpected(RECEIVING)),
                Err(ReplicationError::Server(error)) => Some(self.failed(error).await?),
                Err(error) => return Err(error),
            };
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn message(&mut self, message: Message) -> Result<Option<BackupEvent>, ReplicationError> {
        match message {
            Message::CopyData(body) => {
                let item = self.copies.data(body.into_bytes())?;
                Ok(item.map(|item| match item {
                    Item::Archive { tablespace, location } => BackupEvent::Archive { tablespace, location },
                    Item::Data(data) => BackupEvent::Data(data),
                    Item::Manifest(data) => BackupEvent::Manifest(data),
                    Item::Progress(bytes) => BackupEvent::Progress { bytes },
                }))
            }
            Message::CopyDone => Ok(self.copies.end()?.map(BackupEvent::Data)),
            Message::CopyOutResponse(_) => self.copies.begin(),
            Message::DataRow(row) => {
                // What follows the end position is about the damaged pages.
                self.end.warning = None;
                self.end.rows.push(&row).map(|()| None)
            }
            Message::RowDescription(_) | Message::CommandComplete(_) => Ok(None),
            Message::ReadyForQuery(_) => self.ended(None).map(Some),
            _ => Err(unexpected(RECEIVING)),
        }
    }

    /// An error after the end position is only about damaged pages.
    async fn failed(&mut self, error: Box<ServerMessage>) -> Result<BackupEvent, ReplicationError> {
        until_ready(&mut self.session.wire, RECEIVING).await?;
        if error.code != DATA_CORRUPTED || self.end.rows.len() == 0 {
            return Err(ReplicationError::Server(error));
        }
        // With a single damaged page, there is no warning with their number.
        let count = self.end.warning.as_ref().and_then(|warning| number_in(&warning.message)).unwrap_or(1);
        self.ended(Some(DamagedPages { count, words: error.message }))
    }

    fn ended(&mut self, damaged: Option<DamagedPages>) -> Result<BackupEvent, ReplicationError> {
        self.copies.check_complete()?;
        let position = position(&self.end.rows)?;
        self.end.is_over = true;
        Ok(BackupEvent::End(BackupEnd { position, damaged }))
    }
}

fn position(rows: &Rows) -> Result<Position, ReplicationError> {
    Ok(Position { lsn: rows.parse((0, 0), "WAL position")?, timeline: rows.parse((0, 1), "timeline")? })
}

/// Reads the list of the archives: number, directory and size in KiB.
fn announced(rows: &Rows) -> Result<Vec<BackupTablespace>, ReplicationError> {
    let announced = |row: usize| {
        let oid = rows.text(row, 0)?.map(|_| rows.parse((row, 0), "tablespace number")).transpose()?;
        let location = rows.bytes(row, 1).filter(|_| oid.is_some()).map(copy::path);
        let kib: Option<u64> = rows.text(row, 2)?.map(|_| rows.parse((row, 2), "size")).transpose()?;
        Ok(BackupTablespace { oid, location, bytes: kib.map(|kib| kib.saturating_mul(1024)) })
    };
    (0..rows.len()).map(announced).collect()
}

/// Returns the first number in a text, whatever its language.
fn number_in(text: &str) -> Option<u64> {
    text.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

fn unexpected(doing: &str) -> ReplicationError {
    ReplicationError::protocol(format!("a message out of order while {doing}"))
}

/// The default of [`BackupOptions::start_limit`]: a spread checkpoint takes minutes, rarely more.
const START_LIMIT: Duration = Duration::from_secs(3600);

/// The default of [`BackupOptions::silence_limit`].
const SILENCE_LIMIT: Duration = Duration::from_secs(600);
