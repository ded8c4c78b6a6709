//! What a server says of itself before a backup, and the connection on which it does.

use std::fmt;

use async_trait::async_trait;

use crate::{SegmentSize, SourceError, Timeline};

/// What a server says of itself. `None` is what it doesn't tell, as an old version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFacts {
    /// Which cluster it is.
    pub system_identifier: u64,
    /// The timeline it is on.
    pub timeline: Timeline,
    /// Its major version, as `PG_VERSION` has it: `15`, `9.6`.
    pub postgres_version: Option<String>,
    /// The size of a WAL segment.
    pub segment_size: Option<SegmentSize>,
    /// How it archives WAL.
    pub archiving: Option<Archiving>,
    /// Whether it is a standby.
    pub is_standby: Option<bool>,
}

/// How a server archives WAL: its settings, as `SHOW` gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archiving {
    mode: String,
    command: String,
    library: String,
}

/// Why nothing is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotArchiving {
    /// `archive_mode` is off.
    Off,
    /// Neither `archive_command` nor `archive_library` is set: WAL piles up.
    NoCommand,
    /// The command takes every segment and stores none.
    Discards,
}

impl ServerFacts {
    /// The facts that every server tells.
    pub fn new(system_identifier: u64, timeline: Timeline) -> Self {
        Self {
            system_identifier,
            timeline,
            postgres_version: None,
            segment_size: None,
            archiving: None,
            is_standby: None,
        }
    }
}

impl Archiving {
    /// The values of `archive_mode`, `archive_command` and `archive_library`.
    pub fn new(mode: impl Into<String>, command: impl Into<String>, library: impl Into<String>) -> Self {
        Self { mode: mode.into(), command: command.into(), library: library.into() }
    }

    /// Why this server certainly archives nothing.
    pub fn obstacle(&self) -> Option<NotArchiving> {
        // With archive_mode off, PostgreSQL shows '(disabled)' for the command.
        if self.mode == "off" {
            return Some(NotArchiving::Off);
        }
        if !self.library.is_empty() {
            return None;
        }
        match self.command.trim() {
            "" => Some(NotArchiving::NoCommand),
            "true" | "/bin/true" | "/usr/bin/true" | ":" | "exit 0" => Some(NotArchiving::Discards),
            _ => None,
        }
    }
}

/// A connection to a server beside that of the base backup. Dropping it ends it.
#[async_trait]
pub trait ServerSession: fmt::Debug + Send {
    /// What the server said of itself.
    fn facts(&self) -> &ServerFacts;

    /// Keeps the server from removing WAL, from its last checkpoint on, until the session ends.
    async fn hold_wal(&mut self) -> Result<(), SourceError>;

    /// Ends the session. When it returns, the server has been told so, and soon has room for another one.
    async fn end(self: Box<Self>);

    /// Sees to it that the session isn't ended as an idle one. Returns only if it is lost.
    async fn keep_alive(&mut self) -> SourceError;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_which_servers_archive_nothing() {
        for (mode, command, library, expected) in [
            ("off", "(disabled)", "", Some(NotArchiving::Off)),
            ("on", "", "", Some(NotArchiving::NoCommand)),
            ("always", " ", "", Some(NotArchiving::NoCommand)),
            ("on", "/bin/true", "", Some(NotArchiving::Discards)),
            ("on", "swiftwal archive-wal %p", "", None),
            ("on", "", "basic_archive", None),
        ] {
            assert_eq!(Archiving::new(mode, command, library).obstacle(), expected, "{mode} {command}");
        }
    }
}
