//! Begins a session on an open connection.

use std::iter;

use bytes::BytesMut;
use postgres_protocol::message::{backend::Message, frontend};

use super::{
    authentication::{Authentication, Login},
    cancel::BackendKey,
};
use crate::replication::{
    conninfo::ConnectionKind,
    error::ReplicationError,
    wire::{Received, Wire},
};

const DOING: &str = "connecting";

/// Sends the startup message, authenticates, and returns when the server is ready for commands.
pub(super) async fn start(wire: &mut Wire, login: Login<'_>) -> Result<Option<BackendKey>, ReplicationError> {
    wire.send(&startup_message(&login)?, DOING).await?;
    let mut authentication = Authentication::new(login);
    let mut key = None;
    loop {
        match wire.receive(DOING).await? {
            Received::Message(Message::ReadyForQuery(_)) if authentication.is_accepted() => return Ok(key),
            Received::Message(Message::BackendKeyData(body)) if authentication.is_accepted() => {
                key = Some(BackendKey { process: body.process_id(), secret: body.secret_key() });
            }
            Received::Message(message) if !authentication.is_accepted() => {
                if let Some(answer) = authentication.answer(&message)? {
                    wire.send(&answer, DOING).await?;
                }
            }
            Received::Notice(_) => {}
            Received::Message(_) | Received::CopyBoth => {
                return Err(ReplicationError::protocol(
                    "a message that doesn't belong to the start of a session",
                ));
            }
        }
    }
}

/// The version is 3.0, which every server supports.
fn startup_message(login: &Login<'_>) -> Result<BytesMut, ReplicationError> {
    let mut message = BytesMut::new();
    let user = ("user", login.config.user.as_str());
    let mode = match login.config.kind {
        ConnectionKind::Replication => Some(("replication", "true")),
        ConnectionKind::Sql => None,
    };
    let database = login.config.database.as_deref().map(|database| ("database", database));
    let given = login.config.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let encoded =
        frontend::startup_message(iter::once(user).chain(mode).chain(database).chain(given), &mut message);
    encoded.map_err(|_| ReplicationError::protocol("a setting with a zero byte can't be sent"))?;
    Ok(message)
}
