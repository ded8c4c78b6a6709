//! Sends and receives the protocol's messages.
//!
//! A message is parsed when all of it is in the buffer; the data of a copy are slices of the buffer. [`Wire::receive`] may
//! be cancelled and called again: nothing is lost.

#[cfg(test)]
mod tests;
mod transport;

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::{Buf, BytesMut};
use postgres_protocol::message::backend::COPY_DATA_TAG;
use postgres_protocol::message::backend::{self, ErrorFields, Header, Message, PARAMETER_STATUS_TAG};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::Mutex,
    time::timeout,
};

pub(super) use self::transport::Transport;
use super::{error::ReplicationError, server_message::ServerMessage};

/// The longest message with data of a copy.
const MOST_COPY_BYTES: usize = 16 << 20;

/// The longest other message.
const MOST_BYTES: usize = 1 << 20;

/// The size of the receive buffer: several messages of a base backup, which have 32 KiB.
const BUFFER_BYTES: usize = 256 << 10;

/// The most parameters that a server reports: today fewer than 20.
const MOST_PARAMETERS: usize = 1000;

/// Announces a copy in both directions. `postgres-protocol` doesn't know it.
const COPY_BOTH_TAG: u8 = b'W';

/// Announces an older version of the protocol, or options that the server doesn't know. `postgres-protocol` doesn't know
/// it.
const NEGOTIATE_VERSION_TAG: u8 = b'v';

/// The length of a message's tag and length.
const HEADER_BYTES: usize = 5;

/// A message of the server.
pub(super) enum Received {
    /// A copy in both directions begins.
    CopyBoth,
    /// A warning or another notice.
    Notice(ServerMessage),
    /// Anything else, but never an error.
    Message(Message),
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Wire {
    reader: ReadHalf<Transport>,
    writer: Writer,
    buffer: BytesMut,
    silence: Duration,
    parameters: BTreeMap<String, String>,
}

/// The sending side of a connection.
#[derive(Debug)]
pub(super) struct Writer {
    sending: Arc<Mutex<Sending>>,
    silence: Duration,
}

#[derive(Debug)]
struct Sending {
    half: WriteHalf<Transport>,
    /// What remains to be sent, also of a cancelled call: a message is never cut short by the next one.
    queue: BytesMut,
}

impl Wire {
    /// Takes over an open connection, on which every wait takes at most `silence` unless another limit is given.
    pub(super) fn new(transport: Transport, silence: Duration) -> Self {
        let (reader, half) = tokio::io::split(transport);
        let sending = Sending { half, queue: BytesMut::new() };
        let writer = Writer { sending: Arc::new(Mutex::new(sending)), silence };
        Self { reader, writer, buffer: BytesMut::new(), silence, parameters: BTreeMap::new() }
    }

    /// Returns the sending side, to be used at the same time.
    pub(super) fn writer(&self) -> Writer {
        Writer { sending: Arc::clone(&self.writer.sending), silence: self.silence }
    }

    pub(super) fn silence(&self) -> Duration {
        self.silence
    }

    /// Returns a parameter that the server has reported.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Sends messages.
    pub(super) async fn send(&self, messages: &[u8], doing: &'static str) -> Result<(), ReplicationError> {
        self.writer.send(messages, doing).await
    }

    /// Waits for the next message, within the usual limit.
    pub(super) async fn receive(&mut self, doing: &'static str) -> Result<Received, ReplicationError> {
        self.receive_within(self.silence, doing).await
    }

    /// Waits for the next message; `limit` applies to each pause in which nothing arrives.
    ///
    /// # Errors
    ///
    /// An error that the server reports is returned as [`ReplicationError::Server`].
    pub(super) async fn receive_within(
        &mut self,
        limit: Duration,
        doing: &'static str,
    ) -> Result<Received, ReplicationError> {
        loop {
            if let Some(received) = self.parse()? {
                return Ok(received);
            }
            self.fill(limit, doing).await?;
        }
    }

    async fn fill(&mut self, limit: Duration, doing: &'static str) -> Result<(), ReplicationError> {
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(BUFFER_BYTES);
        }
        match timeout(limit, self.reader.read_buf(&mut self.buffer)).await {
            Ok(Ok(0)) => Err(ReplicationError::Closed { doing }),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(ReplicationError::Lost { doing, source }),
            Err(_) => Err(ReplicationError::Silence { doing, limit }),
        }
    }

    /// Parses the next message; `None` if it isn't complete. Parameters are recorded, not returned.
    fn parse(&mut self) -> Result<Option<Received>, ReplicationError> {
        while let Some(tag) = self.complete_message()? {
            match tag {
                COPY_BOTH_TAG => {
                    self.skip_message();
                    return Ok(Some(Received::CopyBoth));
                }
                // Version 3.0 without options is what every server supports, whatever else it says here.
                NEGOTIATE_VERSION_TAG | backend::NOTIFICATION_RESPONSE_TAG => self.skip_message(),
                PARAMETER_STATUS_TAG => self.record_parameter()?,
                _ => return self.message(tag).map(Some),
            }
        }
        Ok(None)
    }

    /// Returns the tag of the next message if all of it has arrived; otherwise makes room for it.
    fn complete_message(&mut self) -> Result<Option<u8>, ReplicationError> {
        let Some(header) = Header::parse(&self.buffer).map_err(unreadable)? else { return Ok(None) };
        let most = if header.tag() == COPY_DATA_TAG { MOST_COPY_BYTES } else { MOST_BYTES };
        // The length counts itself, but not the tag. It isn't negative.
        let bytes = usize::try_from(header.len()).unwrap_or(usize::MAX);
        if bytes > most {
            return Err(ReplicationError::protocol(format!(
                "a message of {bytes} bytes; at most {most} are accepted"
            )));
        }
        let missing = (bytes + 1).saturating_sub(self.buffer.len());
        if missing == 0 {
            return Ok(Some(header.tag()));
        }
        if self.buffer.capacity() - self.buffer.len() < missing {
            self.buffer.reserve(missing.max(BUFFER_BYTES));
        }
        Ok(None)
    }

    fn skip_message(&mut self) {
        let length = self.buffer.get(1..HEADER_BYTES).map_or(0, |mut length| length.get_u32() as usize);
        self.buffer.advance((length + 1).min(self.buffer.len()));
    }

    fn record_parameter(&mut self) -> Result<(), ReplicationError> {
        let Some(Message::ParameterStatus(body)) = self.pop()? else { return Ok(()) };
        // Values that aren't UTF-8 are never needed.
        if let (Ok(name), Ok(value)) = (body.name(), body.value())
            && self.parameters.len() < MOST_PARAMETERS
        {
            self.parameters.insert(name.to_owned(), value.to_owned());
        }
        Ok(())
    }

    fn message(&mut self, tag: u8) -> Result<Received, ReplicationError> {
        match self.pop()? {
            Some(Message::ErrorResponse(body)) => {
                Err(ReplicationError::Server(Box::new(server_message(body.fields())?)))
            }
            Some(Message::NoticeResponse(body)) => Ok(Received::Notice(server_message(body.fields())?)),
            Some(message) => Ok(Received::Message(message)),
            None => Err(ReplicationError::protocol(format!("an incomplete message with tag {tag}"))),
        }
    }

    fn pop(&mut self) -> Result<Option<Message>, ReplicationError> {
        Message::parse(&mut self.buffer).map_err(unreadable)
    }
}

impl Writer {
    /// Sends messages. If the call is cancelled, the next one sends what remains.
    pub(super) async fn send(&self, messages: &[u8], doing: &'static str) -> Result<(), ReplicationError> {
        let sent = async {
            let mut sending = self.sending.lock().await;
            let Sending { half, queue } = &mut *sending;
            queue.extend_from_slice(messages);
            while queue.has_remaining() {
                half.write_buf(queue).await?;
            }
            half.flush().await
        };
        match timeout(self.silence, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(ReplicationError::Lost { doing, source }),
            Err(_) => Err(ReplicationError::Silence { doing, limit: self.silence }),
        }
    }
}

fn server_message(mut fields: ErrorFields<'_>) -> Result<ServerMessage, ReplicationError> {
    use fallible_iterator::FallibleIterator;
    let mut all = Vec::new();
    while let Some(field) = fields.next().map_err(unreadable)? {
        all.push((field.type_(), field.value_bytes().to_owned()));
    }
    Ok(ServerMessage::new(all.iter().map(|(field, value)| (*field, value.as_slice()))))
}

fn unreadable(error: io::Error) -> ReplicationError {
    ReplicationError::protocol(error.to_string())
}
