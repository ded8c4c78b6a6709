//! Streams WAL: `START_REPLICATION`.
//!
//! The server sends WAL as it is written, and learns from the receiver's reports what is stored. [`WalStream::next`] may be
//! cancelled at any time, so that it can be one branch of a select; [`WalReporter`] may be used from another task, so that
//! reports don't wait behind a slow storage.
//!
//! An idle server may send nothing: after half of [`Limits::silence`](super::Limits::silence) the stream asks for a sign of
//! life, and fails after the other half.

#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod payload;
mod reporter;

use bytes::BytesMut;
use jiff::Timestamp;
use postgres_protocol::message::{backend::Message, frontend};

use self::payload::Payload;
pub use self::{
    payload::{ReceivedWal, WalStatus},
    reporter::WalReporter,
};
use super::{
    connect::CancelToken,
    error::ReplicationError,
    query::{Rows, send, until_ready},
    session::{Session, quoted_name},
    wire::Received,
};
use crate::{Lsn, Timeline};

const STARTING: &str = "starting to stream WAL";
const STREAMING: &str = "streaming WAL";
const STOPPING: &str = "ending to stream WAL";

/// What to stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamOptions {
    /// The slot whose position the reports advance.
    pub slot: Option<String>,
    /// Where the WAL begins.
    pub start: Lsn,
    /// Its timeline.
    pub timeline: Timeline,
    /// The clock for the time in the reports, which the server only shows.
    pub clock: fn() -> Timestamp,
}

impl StreamOptions {
    /// Creates the options of a stream without a slot.
    pub fn new(start: Lsn, timeline: Timeline, clock: fn() -> Timestamp) -> Self {
        Self { slot: None, start, timeline, clock }
    }
}

/// What a stream consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WalEvent {
    /// WAL. It begins where the previous one ended; its length has nothing to do with records or pages.
    Wal(ReceivedWal),
    /// A sign of life.
    Keepalive {
        /// The end of the server's WAL.
        server_end: Lsn,
        /// Whether the server wants a report at once. A server that shuts down waits until all is reported as flushed.
        wants_report: bool,
    },
    /// The timeline has ended on the server. [`WalStream::into_session`] returns the session for the next one.
    EndOfTimeline {
        /// The timeline that the server has gone on with.
        next: Timeline,
        /// Where it branched off.
        branch: Lsn,
    },
}

/// A stream of WAL.
#[derive(Debug)]
pub struct WalStream {
    session: Session,
    reporter: WalReporter,
    state: State,
    rows: Rows,
    /// Whether a sign of life has been asked for since the last message.
    has_asked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Streaming,
    /// The server has ended the copy, and is going to say with which timeline it goes on.
    Ending,
    Ended,
}

impl WalStream {
    /// Begins to stream.
    ///
    /// # Errors
    ///
    /// A slot that doesn't exist or is in use. For WAL that the server has removed, or doesn't have yet, the error comes with
    /// [`Self::next`].
    pub async fn start(session: Session, options: &StreamOptions) -> Result<Self, ReplicationError> {
        let mut session = session;
        send(&session.wire, &command(options)?, STARTING).await?;
        let state = loop {
            match session.wire.receive(STARTING).await? {
                Received::CopyBoth => break State::Streaming,
                // There is no WAL left on this timeline.
                Received::Message(Message::RowDescription(_)) => break State::Ending,
                Received::Notice(_) => {}
                Received::Message(_) => return Err(unexpected(STARTING)),
            }
        };
        let reporter = WalReporter::new(session.wire.writer(), options.clock, state == State::Streaming);
        Ok(Self { session, reporter, state, rows: Rows::default(), has_asked: false })
    }

    /// Returns what sends reports, to be used by another task.
    pub fn reporter(&self) -> WalReporter {
        self.reporter.clone()
    }

    /// Returns what cancels the stream from elsewhere.
    pub fn cancel_token(&self) -> CancelToken {
        self.session.cancel_token()
    }

    /// Waits for the next event; returns `None` after `EndOfTimeline`. The call may be cancelled and repeated.
    ///
    /// # Errors
    ///
    /// A server that shuts down in an orderly way is [`ReplicationError::Closed`].
    pub async fn next(&mut self) -> Result<Option<WalEvent>, ReplicationError> {
        while self.state != State::Ended {
            if self.state == State::Ending {
                self.reporter.end_copy().await?;
            }
            let limit = self.session.wire.silence() / 2;
            let received = match self.session.wire.receive_within(limit, STREAMING).await {
                Err(ReplicationError::Silence { .. })
                    if !self.has_asked && self.state == State::Streaming =>
                {
                    self.has_asked = true;
                    self.reporter.ask_for_answer().await?;
                    continue;
                }
                received => received?,
            };
            self.has_asked = false;
            if let Received::Message(message) = received
                && let Some(event) = self.message(message)?
            {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    fn message(&mut self, message: Message) -> Result<Option<WalEvent>, ReplicationError> {
        match (self.state, message) {
            (State::Streaming, Message::CopyData(body)) => {
                Ok(Some(match Payload::parse(body.into_bytes())? {
                    Payload::Wal(wal) => WalEvent::Wal(wal),
                    Payload::Keepalive { server_end, wants_report } => {
                        WalEvent::Keepalive { server_end, wants_report }
                    }
                }))
            }
            (State::Streaming, Message::CopyDone) => {
                self.state = State::Ending;
                Ok(None)
            }
            // The server shuts down.
            (State::Streaming, Message::CommandComplete(_)) => {
                Err(ReplicationError::Closed { doing: STREAMING })
            }
            (State::Ending, Message::DataRow(row)) => self.rows.push(&row).map(|()| None),
            (State::Ending, Message::RowDescription(_) | Message::CommandComplete(_)) => Ok(None),
            (State::Ending, Message::ReadyForQuery(_)) => {
                self.state = State::Ended;
                let next = self.rows.parse((0, 0), "next timeline")?;
                let branch = self.rows.parse((0, 1), "position of the next timeline")?;
                Ok(Some(WalEvent::EndOfTimeline { next, branch }))
            }
            _ => Err(unexpected(STREAMING)),
        }
    }

    /// Ends the stream in an orderly way: what the server still sends is discarded. Returns the session.
    pub async fn stop(mut self) -> Result<Session, ReplicationError> {
        if self.state != State::Ended {
            self.reporter.end_copy().await?;
            until_ready(&mut self.session.wire, STOPPING).await?;
        }
        Ok(self.session)
    }

    /// Returns the session after `EndOfTimeline`, when it is ready for another command.
    pub fn into_session(self) -> Session {
        self.session
    }
}

fn command(options: &StreamOptions) -> Result<String, ReplicationError> {
    let slot = match &options.slot {
        Some(slot) => format!("SLOT {} ", quoted_name(slot)?),
        None => String::new(),
    };
    Ok(format!("START_REPLICATION {slot}PHYSICAL {} TIMELINE {}", options.start, options.timeline))
}

fn copy_done() -> BytesMut {
    let mut message = BytesMut::new();
    frontend::copy_done(&mut message);
    message
}

fn unexpected(doing: &str) -> ReplicationError {
    ReplicationError::protocol(format!("a message out of order while {doing}"))
}
