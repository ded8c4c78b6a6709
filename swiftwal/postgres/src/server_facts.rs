//! The facts that a server reports before a backup, and the connection that queries them.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
};

use async_trait::async_trait;

use crate::{Database, SegmentSize, SourceError, Timeline};

/// The facts that a server reports. `None` for those that it doesn't, for example because it is too old.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFacts {
    /// The system identifier of the cluster.
    pub system_identifier: u64,
    /// The server's current timeline.
    pub timeline: Timeline,
    /// The major version, as in `PG_VERSION`: `15`, `9.6`.
    pub postgres_version: Option<String>,
    /// The size of a WAL segment.
    pub segment_size: Option<SegmentSize>,
    /// The archiving settings.
    pub archiving: Option<Archiving>,
    /// Whether the server is a standby.
    pub is_standby: Option<bool>,
    /// Whether it summarizes WAL (`summarize_wal`), as incremental backups need. Servers before version 17 can't.
    pub summarizes_wal: Option<bool>,
    /// The size of a page, in bytes. Almost every server is built with 8192.
    pub page_bytes: Option<u64>,
    /// The size of a segment of a relation, in bytes. Almost every server is built with 1 GiB.
    pub relation_segment_bytes: Option<u64>,
    /// Its databases, which only an ordinary session can list.
    pub databases: Option<Vec<Database>>,
}

/// The archiving settings of a server, as `SHOW` returns them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archiving {
    mode: String,
    command: String,
    library: String,
}

/// The reason why nothing is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotArchiving {
    /// `archive_mode` is off.
    Off,
    /// Neither `archive_command` nor `archive_library` is set: WAL accumulates.
    NoCommand,
    /// The command succeeds for every segment and stores none.
    Discards,
}

impl ServerFacts {
    /// Creates the facts that every server reports.
    pub fn new(system_identifier: u64, timeline: Timeline) -> Self {
        Self {
            system_identifier,
            timeline,
            postgres_version: None,
            segment_size: None,
            archiving: None,
            is_standby: None,
            summarizes_wal: None,
            page_bytes: None,
            relation_segment_bytes: None,
            databases: None,
        }
    }
}

impl Archiving {
    /// Creates the settings from the values of `archive_mode`, `archive_command` and `archive_library`.
    pub fn new(mode: impl Into<String>, command: impl Into<String>, library: impl Into<String>) -> Self {
        Self { mode: mode.into(), command: command.into(), library: library.into() }
    }

    /// Returns the reason why this server certainly archives nothing.
    pub fn obstacle(&self) -> Option<NotArchiving> {
        // With archive_mode off, PostgreSQL shows '(disabled)' as the command.
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

/// Returns the major version as in `PG_VERSION`: `15` for 150004, `9.6` for 90624.
pub(crate) fn major_version(number: u32) -> Option<String> {
    match (number / 10_000, number / 100 % 100) {
        (0, _) => None,
        (major @ 10.., _) => Some(major.to_string()),
        (major, minor) => Some(format!("{major}.{minor}")),
    }
}

/// Parses the value of `wal_segment_size`, such as `16MB`.
pub(crate) fn segment_size(text: &str) -> Option<SegmentSize> {
    SegmentSize::new(bytes(text)?).ok()
}

/// Parses the value of a setting that is a size, such as `8192` or `1GB`.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// Returns whether a server is a standby, by its `transaction_read_only` and `default_transaction_read_only`; `None` if they
/// don't tell. In recovery every transaction is read-only, whatever the default.
pub(crate) fn standby_by(reads_only: &str, by_default: &str) -> Option<bool> {
    match (reads_only, by_default) {
        ("off", _) => Some(false),
        ("on", "off") => Some(true),
        _ => None,
    }
}

/// Returns a name for a temporary slot, another one each time. The server drops such a slot when the connection that created
/// it ends, for any reason.
pub(crate) fn temporary_slot_name() -> String {
    let unique = RandomState::new().build_hasher().finish();
    format!("swiftwal_{unique:016x}")
}

/// A connection to a server beside that of the base backup. Dropping it ends it.
#[async_trait]
pub trait ServerSession: fmt::Debug + Send {
    /// Returns the facts that the server has reported.
    fn facts(&self) -> &ServerFacts;

    /// Keeps the server from removing WAL, from its last checkpoint on, until the session ends.
    async fn hold_wal(&mut self) -> Result<(), SourceError>;

    /// Ends the session. When it returns, the server has been notified, and soon has room for another connection.
    async fn end(self: Box<Self>);

    /// Asks whether the server is a standby now; `None` if it can't say so. An error means that the session is lost.
    async fn is_standby(&mut self) -> Result<Option<bool>, SourceError>;
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

    #[test]
    fn the_major_version_is_that_of_pg_version() {
        for (number, version) in
            [(150_004, Some("15")), (90_624, Some("9.6")), (100_000, Some("10")), (0, None)]
        {
            assert_eq!(major_version(number).as_deref(), version);
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        assert_eq!(segment_size("16MB").map(|size| size.bytes()), Some(16 << 20));
        assert_eq!(segment_size("3MB"), None);
        assert_eq!(["8192", "48kB", "1GB"].map(bytes), [Some(8192), Some(48 << 10), Some(1 << 30)]);
        for odd in ["", "MB", "16 MB", "16TB"] {
            assert_eq!(bytes(odd), None, "{odd}");
        }
    }
}
