//! A run of `pg_basebackup` as a stream of events.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::archive::{Archive, StartError, backup_label};
use super::failure;
use super::messages::Messages;
use super::notes::Note;
use crate::{
    BackupLabel, BackupStart, BaseBackupEvent, BaseBackupStream, CHUNK_BYTES, SourceError, SourceErrorKind,
    Timeline, tar_stream::TarError,
};

/// How long to wait for more bytes before those that have arrived are returned. At the end of a backup the server may
/// wait for its archiver for any time, and the last data needn't wait as well.
const SILENCE: Duration = Duration::from_secs(1);

/// The largest pipe that Linux allows an ordinary user by default.
const PIPE_BYTES: usize = 1 << 20;

/// A run of the program, with its messages in between. Dropping it kills the child process.
#[derive(Debug)]
pub(super) struct PgBasebackupStream {
    run: Run,
    notes: UnboundedReceiver<Note>,
    /// The event that follows the queued notes.
    next: Option<Result<Option<BaseBackupEvent>, SourceError>>,
}

/// A child process that writes a tar archive to its standard output. Cancelling a call loses no data.
struct Run {
    child: Child,
    stdout: ChildStdout,
    /// The single task that reads standard error, so that the child never blocks on it.
    messages: JoinSet<Messages>,
    /// Bytes that have been read but not returned: at most `CHUNK_BYTES`.
    buffer: BytesMut,
    archive: Archive,
    /// Whether the server sends the WAL last, and so doesn't wait until it is archived.
    includes_wal: bool,
    /// The events that the last piece of data brought.
    shown: VecDeque<BaseBackupEvent>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    BeforeStart,
    BeforeArchive { timeline: Timeline },
    InArchive { timeline: Timeline },
    Finished,
}

impl PgBasebackupStream {
    /// Takes over a child process whose standard output and error are pipes.
    pub(super) fn new(mut child: Child, includes_wal: bool) -> Result<Self, SourceError> {
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(unreadable(io::ErrorKind::BrokenPipe.into()));
        };
        // A larger pipe means fewer switches between the processes. If it is refused, the pipe stays smaller.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES);
        let mut messages = JoinSet::new();
        let (sender, notes) = unbounded_channel();
        messages.spawn(Messages::read(stderr, sender));
        let run = Run {
            child,
            stdout,
            messages,
            buffer: BytesMut::new(),
            archive: Archive::default(),
            includes_wal,
            shown: VecDeque::new(),
            state: State::BeforeStart,
        };
        Ok(Self { run, notes, next: None })
    }
}

impl Run {
    /// Reads until the archive's first member is complete.
    async fn read_label(&mut self) -> Result<BackupLabel, SourceError> {
        loop {
            match backup_label(&self.buffer) {
                Some(Ok(label)) => return Ok(label),
                Some(Err(error)) => return Err(no_label(error)),
                None => {}
            }
            if self.read().await? == 0 {
                let messages = self.ended().await?;
                return Err(failure::incomplete("its archive has no backup label", &messages));
            }
        }
    }

    /// Returns the next bytes of the archive; `None` at its end.
    async fn read_chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        while self.buffer.len() < CHUNK_BYTES {
            let bytes = match self.buffer.is_empty() {
                true => self.read().await?,
                false => match timeout(SILENCE, self.read()).await {
                    Ok(bytes) => bytes?,
                    Err(_silent) => break,
                },
            };
            if bytes == 0 {
                break;
            }
        }
        let shown = self.archive.push(&self.buffer).map_err(damaged)?;
        if !shown.manifest.is_empty() {
            self.shown.push_back(BaseBackupEvent::Manifest(shown.manifest));
        }
        if shown.control_begins && !self.includes_wal {
            self.shown.push_back(BaseBackupEvent::WaitingForArchiver);
        }
        Ok(Some(self.buffer.split().freeze()).filter(|chunk| !chunk.is_empty()))
    }

    /// Appends the child's output to the buffer, which isn't full; returns 0 at the end.
    async fn read(&mut self) -> Result<usize, SourceError> {
        if self.buffer.is_empty() {
            self.buffer.reserve(CHUNK_BYTES);
        }
        let room = CHUNK_BYTES - self.buffer.len();
        self.stdout.read_buf(&mut (&mut self.buffer).limit(room)).await.map_err(unreadable)
    }

    /// Waits until the child has succeeded, and returns its messages. Anything else is an error.
    async fn ended(&mut self) -> Result<Messages, SourceError> {
        let status = self.child.wait().await.map_err(unreadable)?;
        // The task exists until it is joined here, once, and it doesn't panic.
        let messages = self.messages.join_next().await.and_then(Result::ok).unwrap_or_default();
        if status.success() { Ok(messages) } else { Err(failure::failed(status, &messages)) }
    }

    /// Waits until the child has confirmed that the backup is complete.
    async fn finish(&mut self, start_timeline: Timeline) -> Result<BaseBackupEvent, SourceError> {
        let messages = self.ended().await?;
        let printed = messages.end.map(|lsn| (lsn, start_timeline));
        match self.archive.backup_end().or(printed) {
            Some((lsn, timeline)) => Ok(BaseBackupEvent::Finished { lsn, timeline }),
            None => Err(failure::incomplete(
                "it is unknown where the backup's WAL ends: servers older than 13 report that only if the WAL is included",
                &messages,
            )),
        }
    }
}

#[async_trait]
impl BaseBackupStream for PgBasebackupStream {
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        if self.next.is_none() {
            tokio::select! {
                biased;
                Some(note) = self.notes.recv() => return Ok(Some(note.into())),
                next = self.run.next() => self.next = Some(next),
            }
        }
        // The last messages come before it as well.
        match self.notes.try_recv() {
            Ok(note) => Ok(Some(note.into())),
            Err(_) => self.next.take().unwrap_or(Ok(None)),
        }
    }
}

impl Run {
    /// Returns the next event of the archive.
    async fn next(&mut self) -> Result<Option<BaseBackupEvent>, SourceError> {
        if let Some(event) = self.shown.pop_front() {
            return Ok(Some(event));
        }
        let (event, state) = match self.state {
            State::BeforeStart => {
                let label = self.read_label().await?;
                let timeline = label.start_timeline();
                let start = BackupStart::new(label.start_lsn(), timeline);
                (BaseBackupEvent::Started(start), State::BeforeArchive { timeline })
            }
            State::BeforeArchive { timeline } => {
                (BaseBackupEvent::Archive { tablespace: None }, State::InArchive { timeline })
            }
            State::InArchive { timeline } => match self.read_chunk().await? {
                Some(data) => (BaseBackupEvent::Data(data), self.state),
                None => (self.finish(timeline).await?, State::Finished),
            },
            State::Finished => return Ok(None),
        };
        self.state = state;
        Ok(Some(event))
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("child", &self.child).field("state", &self.state).finish_non_exhaustive()
    }
}

fn unreadable(error: io::Error) -> SourceError {
    let message = "can't read what pg_basebackup writes";
    SourceError::new(SourceErrorKind::Failed, message).with_hint("take the backup again").caused_by(error)
}

fn damaged(error: TarError) -> SourceError {
    let message = "the archive that pg_basebackup writes is damaged";
    SourceError::new(SourceErrorKind::Failed, message).with_hint("take the backup again").caused_by(error)
}

fn no_label(error: StartError) -> SourceError {
    let message = "the archive that pg_basebackup writes doesn't begin with a backup label";
    let hint = "use the pg_basebackup of the server's version";
    SourceError::new(SourceErrorKind::Failed, message).with_hint(hint).caused_by(error)
}
