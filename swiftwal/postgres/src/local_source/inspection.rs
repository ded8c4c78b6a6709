//! What check asks a server: how it is set up, and to end a WAL segment.

use super::{failure::failed, server::Server};
use crate::{Connector, SegmentName, ServerFacts, SourceError};

const SETUP: &str = "SELECT current_setting('server_version'), current_setting('wal_level'), \
    (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user), \
    current_setting('data_checksums'), coalesce(current_setting('summarize_wal', true), ''), \
    (SELECT last_failed_wal FROM pg_stat_archiver \
     WHERE last_failed_time > coalesce(last_archived_time, '-infinity'))";

/// How a server is set up, as far as backups and archiving depend on it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSetup {
    /// What a backup is told, too.
    pub facts: ServerFacts,
    /// The version as the server writes it: `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
    /// The value of `wal_level`.
    pub wal_level: String,
    /// Whether the role that is connected may use the replication protocol.
    pub may_replicate: bool,
    /// Whether pages have checksums.
    pub data_checksums: bool,
    /// The file that the archiver failed to archive last, unless it has archived one since then.
    pub failed_wal: Option<String>,
}

/// A session with a server that is looked at.
#[derive(Debug)]
pub struct Inspection {
    server: Server,
}

impl Inspection {
    /// Connects to the server, for SQL.
    ///
    /// # Errors
    ///
    /// No server can be reached, or it refuses the connection.
    pub async fn connect(connector: &Connector) -> Result<Self, SourceError> {
        Ok(Self { server: Server::connect(connector).await? })
    }

    /// Returns how the server is set up.
    ///
    /// # Errors
    ///
    /// The role lacks rights, or the connection fails.
    pub async fn setup(&mut self) -> Result<ServerSetup, SourceError> {
        let mut facts = self.server.facts().await?;
        let row = self.server.row(SETUP).await?;
        let text = |column| row.text(column).map(|value| value.unwrap_or_default().to_owned());
        let setup = || {
            let summarizes_wal = text(4)?;
            facts.summarizes_wal = (!summarizes_wal.is_empty()).then(|| summarizes_wal == "on");
            Ok(ServerSetup {
                version: text(0)?,
                wal_level: text(1)?,
                may_replicate: row.text(2)? == Some("t"),
                data_checksums: row.text(3)? == Some("on"),
                failed_wal: row.text(5)?.map(str::to_owned),
                facts,
            })
        };
        setup().map_err(failed)
    }

    /// Writes one record that has no effect, ends the WAL segment that contains it, and returns that segment.
    ///
    /// # Errors
    ///
    /// The role may not execute `pg_switch_wal`, the server is a standby, or the connection fails.
    pub async fn switch_wal(&mut self) -> Result<SegmentName, SourceError> {
        let emit = "SELECT pg_walfile_name(pg_logical_emit_message(false, 'swiftwal', 'check'))";
        let segment = self.server.row(emit).await?.parse(0, "WAL segment").map_err(failed)?;
        self.server.row("SELECT pg_switch_wal()").await?;
        Ok(segment)
    }

    /// Ends the session.
    pub async fn end(self) {
        self.server.end().await;
    }
}
