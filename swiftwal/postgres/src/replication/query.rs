//! Simple queries whose results are small.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::message::{
    backend::{DataRowBody, Message},
    frontend,
};

use super::{
    error::ReplicationError,
    server_message::ServerMessage,
    wire::{Received, Wire},
};
use crate::printable;

/// The most bytes in all rows of one answer.
const MOST_BYTES: usize = 16 << 20;

/// The most notices that are kept from one answer.
const MOST_NOTICES: usize = 1000;

/// The rows of a result. A value is `None` if it is null.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Vec<Option<Bytes>>>,
    bytes: usize,
}

impl Rows {
    pub(super) fn push(&mut self, row: &DataRowBody) -> Result<(), ReplicationError> {
        self.bytes += row.buffer().len();
        if self.bytes > MOST_BYTES {
            return Err(ReplicationError::protocol(format!("a result of more than {MOST_BYTES} bytes")));
        }
        let value =
            |range: Option<std::ops::Range<usize>>| Ok(range.map(|range| row.buffer_bytes().slice(range)));
        let values = row.ranges().map(value).collect();
        self.rows.push(values.map_err(|error| ReplicationError::protocol(error.to_string()))?);
        Ok(())
    }

    /// Returns the values of each row.
    pub(super) fn values(self) -> Vec<Vec<Option<Bytes>>> {
        self.rows
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn bytes(&self, row: usize, column: usize) -> Option<&Bytes> {
        self.rows.get(row)?.get(column)?.as_ref()
    }

    /// Returns the text of a value; `None` if it is null or missing.
    pub(super) fn text(&self, row: usize, column: usize) -> Result<Option<&str>, ReplicationError> {
        let Some(value) = self.bytes(row, column) else { return Ok(None) };
        match std::str::from_utf8(value) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(ReplicationError::protocol(format!("\"{}\" isn't UTF-8", printable(value)))),
        }
    }

    /// Parses a value that must be there; `what` names it in the error.
    pub(super) fn parse<T: std::str::FromStr>(
        &self,
        (row, column): (usize, usize),
        what: &str,
    ) -> Result<T, ReplicationError> {
        let text = self.text(row, column)?;
        let text = text.ok_or_else(|| ReplicationError::protocol(format!("no {what}")))?;
        text.parse()
            .map_err(|_| ReplicationError::protocol(format!("\"{}\" instead of the {what}", printable(text))))
    }
}

/// Sends a query.
pub(super) async fn send(wire: &Wire, text: &str, doing: &'static str) -> Result<(), ReplicationError> {
    let mut message = BytesMut::new();
    let encoded = frontend::query(text, &mut message);
    encoded.map_err(|error| ReplicationError::protocol(format!("the command can't be sent: {error}")))?;
    wire.send(&message, doing).await
}

/// Sends a text with any number of statements, and returns the rows of each that returns rows, even if there are none.
/// The text is one transaction unless it says otherwise. Notices are added to `notices`.
///
/// # Errors
///
/// As [`query`].
pub(super) async fn query_each_within(
    limit: Duration,
    wire: &mut Wire,
    text: &str,
    notices: &mut Vec<ServerMessage>,
    doing: &'static str,
) -> Result<Vec<Rows>, ReplicationError> {
    send(wire, text, doing).await?;
    let mut results = Vec::new();
    loop {
        match wire.receive_within(limit, doing).await {
            Ok(Received::Notice(notice)) => add_notice(notices, notice),
            Ok(Received::Message(Message::RowDescription(_))) => results.push(Rows::default()),
            Ok(Received::Message(Message::DataRow(row))) => match results.last_mut() {
                Some(rows) => rows.push(&row)?,
                None => return Err(ReplicationError::protocol("a row without a description")),
            },
            Ok(Received::Message(Message::CommandComplete(_) | Message::EmptyQueryResponse)) => {}
            Ok(Received::Message(Message::ReadyForQuery(_))) => return Ok(results),
            Ok(_) => return Err(ReplicationError::protocol("a message that doesn't belong to a result")),
            Err(ReplicationError::Server(error)) => {
                until_ready(wire, doing).await?;
                return Err(ReplicationError::Server(error));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Sends a query, and returns the rows of its only result. Notices are added to `notices`.
///
/// # Errors
///
/// After an error that the server reported, the connection can be used again.
pub(super) async fn query(
    wire: &mut Wire,
    text: &str,
    notices: &mut Vec<ServerMessage>,
    doing: &'static str,
) -> Result<Rows, ReplicationError> {
    query_within(wire.silence(), wire, text, notices, doing).await
}

/// As [`query`], with a limit of its own for the server's silence.
pub(super) async fn query_within(
    limit: Duration,
    wire: &mut Wire,
    text: &str,
    notices: &mut Vec<ServerMessage>,
    doing: &'static str,
) -> Result<Rows, ReplicationError> {
    send(wire, text, doing).await?;
    let mut rows = Rows::default();
    loop {
        match wire.receive_within(limit, doing).await {
            Ok(Received::Notice(notice)) => add_notice(notices, notice),
            Ok(Received::Message(Message::DataRow(row))) => rows.push(&row)?,
            Ok(Received::Message(Message::RowDescription(_) | Message::CommandComplete(_))) => {}
            Ok(Received::Message(Message::ReadyForQuery(_))) => return Ok(rows),
            Ok(_) => return Err(ReplicationError::protocol("a message that doesn't belong to a result")),
            Err(ReplicationError::Server(error)) => {
                until_ready(wire, doing).await?;
                return Err(ReplicationError::Server(error));
            }
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn add_notice(notices: &mut Vec<ServerMessage>, notice: ServerMessage) {
    if notices.len() < MOST_NOTICES {
        notices.push(notice);
    }
}

/// Skips everything until the server is ready for the next command. After a fatal error it closes the connection instead,
/// which is no error here.
pub(super) async fn until_ready(wire: &mut Wire, doing: &'static str) -> Result<(), ReplicationError> {
    loop {
        match wire.receive(doing).await {
            Ok(Received::Message(Message::ReadyForQuery(_)))
            | Err(ReplicationError::Closed { .. } | ReplicationError::Lost { .. }) => {
                return Ok(());
            }
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}
