//! A replication session: the commands that return at once.

use std::time::Duration;

use super::{
    connect::{CancelToken, connect},
    conninfo::ConnectConfig,
    error::ReplicationError,
    query::{Rows, query},
    server_message::ServerMessage,
    wire::Wire,
};
use crate::{Lsn, Timeline};

/// The oldest version that this client supports.
const OLDEST_VERSION: u32 = 130_000;

const ENDING: &str = "ending the session";

/// The limits of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How long the server may send nothing while an answer is due, and take nothing while something is sent. It also limits
    /// each attempt to connect, unless `connect_timeout` is set.
    pub silence: Duration,
}

impl Default for Limits {
    /// One minute.
    fn default() -> Self {
        Self { silence: Duration::from_secs(60) }
    }
}

/// A physical replication session with a server.
///
/// After an error that the server reported ([`ReplicationError::Server`]) the session can be used again, unless it was
/// fatal; after any other error, and after a cancelled call, it can only be dropped.
#[derive(Debug)]
pub struct Session {
    pub(super) wire: Wire,
    cancel: CancelToken,
    pub(super) notices: Vec<ServerMessage>,
    version: u32,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemIdentity {
    /// The system identifier of the cluster.
    pub system_identifier: u64,
    /// The current timeline; on a standby, that of the last WAL that it replayed or received.
    pub timeline: Timeline,
    /// The position up to which WAL has been flushed.
    pub flushed: Lsn,
}

/// A physical replication slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotPosition {
    /// The oldest WAL that the slot keeps; `None` if it keeps none yet.
    pub restart: Option<Lsn>,
    /// The timeline of that WAL.
    pub timeline: Option<Timeline>,
}

/// Which WAL a new slot keeps, and how long it exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SlotOptions {
    /// Whether it keeps WAL at once, from the last checkpoint on, rather than when it is first used.
    pub reserve_wal: bool,
    /// Whether the server drops it when this session ends.
    pub temporary: bool,
}

impl Session {
    /// Connects to the first host that is reached and fits, and authenticates.
    ///
    /// # Errors
    ///
    /// Nothing could be reached, a server refused, or is older than version 13.
    pub async fn connect(config: &ConnectConfig, limits: Limits) -> Result<Self, ReplicationError> {
        let connected = connect(config, limits.silence).await?;
        let mut session =
            Self { wire: connected.wire, cancel: connected.cancel, notices: Vec::new(), version: 0 };
        session.version = number_of(&session.show("server_version_num").await?);
        match session.version {
            OLDEST_VERSION.. => Ok(session),
            _ => Err(session.unsupported("this replication client, which needs 13 or later")),
        }
    }

    /// Returns the server's version as a number, such as 150004 for 15.4.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns a parameter that the server has reported, such as `server_version`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.wire.parameter(name)
    }

    /// Returns what cancels this session's commands from elsewhere.
    pub fn cancel_token(&self) -> CancelToken {
        self.cancel.clone()
    }

    /// Returns the warnings and other notices since the last call, at most a thousand.
    pub fn take_notices(&mut self) -> Vec<ServerMessage> {
        std::mem::take(&mut self.notices)
    }

    /// Returns the identity of the server: `IDENTIFY_SYSTEM`.
    pub async fn identify_system(&mut self) -> Result<SystemIdentity, ReplicationError> {
        let rows = self.query("IDENTIFY_SYSTEM", "asking for the system identifier").await?;
        Ok(SystemIdentity {
            system_identifier: rows.parse((0, 0), "system identifier")?,
            timeline: rows.parse((0, 1), "timeline")?,
            flushed: rows.parse((0, 2), "WAL position")?,
        })
    }

    /// Returns the value of a setting: `SHOW`.
    pub async fn show(&mut self, setting: &str) -> Result<String, ReplicationError> {
        let rows = self.query(&format!("SHOW {setting}"), "asking for a setting").await?;
        let value = rows.text(0, 0)?;
        value.map(str::to_owned).ok_or_else(|| ReplicationError::protocol("SHOW without a value"))
    }

    /// Returns the content of a timeline's history file, which is bytes: `TIMELINE_HISTORY`. The first timeline has none.
    pub async fn timeline_history(&mut self, timeline: Timeline) -> Result<bytes::Bytes, ReplicationError> {
        let command = format!("TIMELINE_HISTORY {timeline}");
        let rows = self.query(&command, "asking for a timeline's history").await?;
        let content = rows.bytes(0, 1).cloned();
        content.ok_or_else(|| ReplicationError::protocol("TIMELINE_HISTORY without content"))
    }

    /// Returns where a slot is, `None` if there is no such slot: `READ_REPLICATION_SLOT`, from version 15 on.
    ///
    /// # Errors
    ///
    /// A logical slot is an error of the server.
    pub async fn read_slot(&mut self, slot: &str) -> Result<Option<SlotPosition>, ReplicationError> {
        if self.version < 150_000 {
            return Err(self.unsupported("READ_REPLICATION_SLOT"));
        }
        let command = format!("READ_REPLICATION_SLOT {}", quoted_name(slot)?);
        let rows = self.query(&command, "reading a replication slot").await?;
        if rows.text(0, 0)?.is_none() {
            return Ok(None);
        }
        let restart = rows.text(0, 1)?.map(|_| rows.parse((0, 1), "WAL position")).transpose()?;
        let timeline: Option<u32> = rows.text(0, 2)?.map(|_| rows.parse((0, 2), "timeline")).transpose()?;
        Ok(Some(SlotPosition { restart, timeline: timeline.and_then(Timeline::new) }))
    }

    /// Creates a physical replication slot: `CREATE_REPLICATION_SLOT`.
    pub async fn create_slot(&mut self, slot: &str, options: SlotOptions) -> Result<(), ReplicationError> {
        let temporary = if options.temporary { " TEMPORARY" } else { "" };
        // Every version accepts the old syntax.
        let reserve = if options.reserve_wal { " RESERVE_WAL" } else { "" };
        let command = format!("CREATE_REPLICATION_SLOT {}{temporary} PHYSICAL{reserve}", quoted_name(slot)?);
        self.query(&command, "creating a replication slot").await.map(drop)
    }

    /// Drops a replication slot: `DROP_REPLICATION_SLOT`. A slot in use is an error.
    pub async fn drop_slot(&mut self, slot: &str) -> Result<(), ReplicationError> {
        let command = format!("DROP_REPLICATION_SLOT {}", quoted_name(slot)?);
        self.query(&command, "dropping a replication slot").await.map(drop)
    }

    /// Ends the session in an orderly way. Returns when the server has closed the connection: then it has room for another
    /// one, and temporary slots are gone.
    pub async fn end(mut self) -> Result<(), ReplicationError> {
        let mut message = bytes::BytesMut::new();
        postgres_protocol::message::frontend::terminate(&mut message);
        self.wire.send(&message, ENDING).await?;
        loop {
            match self.wire.receive(ENDING).await {
                Ok(_) => {}
                Err(ReplicationError::Closed { .. } | ReplicationError::Lost { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) async fn query(&mut self, text: &str, doing: &'static str) -> Result<Rows, ReplicationError> {
        query(&mut self.wire, text, &mut self.notices, doing).await
    }

    pub(super) fn unsupported(&self, feature: &'static str) -> ReplicationError {
        let (major, minor) = (self.version / 10_000, self.version % 10_000);
        ReplicationError::Version { version: format!("{major}.{minor}"), feature }
    }
}

fn number_of(text: &str) -> u32 {
    text.parse().unwrap_or_default()
}

/// Quotes the name of a slot. The server's grammar has no escape for a quotation mark, which no slot's name has.
pub(super) fn quoted_name(name: &str) -> Result<String, ReplicationError> {
    match name.contains(['\0', '"']) {
        true => Err(ReplicationError::protocol(format!(
            "\"{}\" can't be the name of a slot",
            crate::printable(name)
        ))),
        false => Ok(format!("\"{name}\"")),
    }
}

/// Quotes a text.
pub(super) fn quoted_text(text: &str) -> Result<String, ReplicationError> {
    match text.contains('\0') {
        true => Err(ReplicationError::protocol("a text with a zero byte can't be sent")),
        false => Ok(format!("'{}'", text.replace('\'', "''"))),
    }
}
