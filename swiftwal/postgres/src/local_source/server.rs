//! The session that begins and ends a backup.

use std::{ffi::OsStr, iter, os::unix::ffi::OsStrExt, path::PathBuf, time::Duration};

use bytes::Bytes;

use super::failure::{connecting, failed, unexpected, without_rights};
use crate::{
    Archiving, Checkpoint, Connector, Lsn, ServerFacts, SourceError, Timeline, database,
    replication::{ReplicationError, SqlRow, SqlSession},
    replication_source::cancel::CancelGuard,
    server_facts::{major_version, segment_size},
};

const LIMIT: Duration = Duration::from_secs(60);

/// At the end of a backup, the server writes WAL and a file.
const STOP_LIMIT: Duration = Duration::from_secs(600);

/// A caller sets its own limit for the checkpoint.
const NO_START_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What doesn't depend on the settings of the role or the database: functions are those of the catalog, texts are sent
/// unchanged, and nothing ends a long wait.
const PREPARE: &str = "SET search_path = ''; SET client_encoding = 'SQL_ASCII'; SET standard_conforming_strings = on; \
    SET statement_timeout = 0";

/// The first version that ends idle sessions, and the setting that prevents it.
const IDLE_TIMEOUT: (u32, &str) = (140_000, "SET idle_session_timeout = 0");

/// The first version that limits single statements by this, too, and the setting that prevents it.
const TRANSACTION_TIMEOUT: (u32, &str) = (170_000, "SET transaction_timeout = 0");

/// The first version in which the functions have their present names.
const NEW_NAMES_VERSION: u32 = 150_000;

const CLUSTER: &str = "SELECT current_setting('data_directory'), \
    extract(epoch FROM pg_postmaster_start_time())::bigint, \
    s.system_identifier, i.database_block_size, i.blocks_per_segment, current_setting('data_checksums'), \
    pg_backend_pid() \
    FROM pg_control_system() AS s, pg_control_init() AS i";

/// The timeline is that of the WAL that is being written or replayed.
const FACTS: &str = "SELECT s.system_identifier, \
    CASE WHEN pg_is_in_recovery() THEN greatest(c.timeline_id, r.min_recovery_end_timeline) \
    ELSE ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int END, \
    pg_is_in_recovery(), current_setting('wal_segment_size'), current_setting('archive_mode'), \
    current_setting('archive_command'), current_setting('archive_library', true) \
    FROM pg_control_system() AS s, pg_control_checkpoint() AS c, pg_control_recovery() AS r";

const START_TIMELINE: &str = "SELECT timeline_id FROM pg_control_checkpoint()";

/// A connection for SQL.
#[derive(Debug)]
pub(super) struct Server {
    session: SqlSession,
}

/// What a server says of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    pub(super) data_directory: PathBuf,
    /// When the server started, in seconds since 1970.
    pub(super) started: i64,
    pub(super) system_identifier: u64,
    pub(super) page_bytes: usize,
    /// The number of blocks in a segment of a relation.
    pub(super) segment_blocks: u32,
    pub(super) data_checksums: bool,
    /// The process of this session.
    pub(super) backend: u32,
}

/// The end of a backup.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) lsn: Lsn,
    pub(super) timeline: Timeline,
    pub(super) label: Bytes,
    /// Empty if there are no tablespaces.
    pub(super) tablespace_map: Bytes,
    /// The time of the server's clock, in seconds since 1970.
    pub(super) time: u64,
}

impl Server {
    /// Connects to the database that every server has.
    pub(super) async fn connect(connector: &Connector) -> Result<Self, SourceError> {
        Self::prepared(connector.sql().await.map_err(connecting)?).await
    }

    /// As [`Self::connect`], if the server is on this host.
    pub(super) async fn connect_on_this_host(connector: &Connector) -> Result<Self, SourceError> {
        Self::prepared(connector.sql_on_this_host().await.map_err(connecting)?).await
    }

    async fn prepared(mut session: SqlSession) -> Result<Self, SourceError> {
        let known = [IDLE_TIMEOUT, TRANSACTION_TIMEOUT].into_iter();
        let known = known.filter(|(version, _)| session.version() >= *version).map(|(_, setting)| setting);
        let statements: Vec<_> = iter::once(PREPARE).chain(known).collect();
        session.row(&statements.join("; "), LIMIT).await.map_err(failed)?;
        Ok(Self { session })
    }

    /// Returns where the server's files are.
    pub(super) async fn cluster(&mut self) -> Result<Cluster, SourceError> {
        let row = self.row(CLUSTER).await?;
        let directory = row.bytes(0).ok_or_else(|| unexpected("the server has no data directory"))?;
        let cluster = || {
            Ok(Cluster {
                data_directory: OsStr::from_bytes(directory).into(),
                started: row.parse(1, "start time")?,
                system_identifier: row.parse(2, "system identifier")?,
                page_bytes: row.parse(3, "size of a page")?,
                segment_blocks: row.parse(4, "size of a segment")?,
                data_checksums: row.text(5)? == Some("on"),
                backend: row.parse(6, "process")?,
            })
        };
        cluster().map_err(failed)
    }

    /// Checks that the role may execute the functions that begin and end a backup.
    pub(super) async fn check_rights(&mut self) -> Result<(), SourceError> {
        let [start, stop] = match self.session.version() {
            NEW_NAMES_VERSION.. => ["pg_backup_start(text, boolean)", "pg_backup_stop(boolean)"],
            _ => ["pg_start_backup(text, boolean, boolean)", "pg_stop_backup(boolean, boolean)"],
        };
        let may = |function| format!("has_function_privilege('pg_catalog.{function}', 'EXECUTE')");
        let row = self.row(&format!("SELECT {} AND {}", may(start), may(stop))).await?;
        match row.text(0).map_err(failed)? {
            Some("t") => Ok(()),
            _ => Err(without_rights()),
        }
    }

    /// Returns what the server says of itself.
    pub(super) async fn facts(&mut self) -> Result<ServerFacts, SourceError> {
        let row = self.row(FACTS).await?;
        let databases = self.row(database::QUERY).await?;
        let text = |column| {
            let value = row.text(column)?;
            Ok::<_, ReplicationError>(value.unwrap_or_default().to_owned())
        };
        let facts = || {
            let mut facts = ServerFacts::new(row.parse(0, "system identifier")?, row.parse(1, "timeline")?);
            facts.postgres_version = major_version(self.session.version());
            facts.is_standby = row.text(2)?.map(|value| value == "t");
            facts.segment_size = segment_size(row.text(3)?.unwrap_or_default());
            facts.archiving = Some(Archiving::new(text(4)?, text(5)?, text(6)?));
            facts.databases = databases.text(0)?.and_then(database::parse);
            Ok(facts)
        };
        facts().map_err(failed)
    }

    /// Begins a backup, and returns where its WAL begins. It waits for the checkpoint; dropping it cancels that.
    pub(super) async fn start(
        &mut self,
        label: &str,
        checkpoint: Checkpoint,
    ) -> Result<(Lsn, Timeline), SourceError> {
        let (label, is_fast) = (quoted(label), checkpoint == Checkpoint::Fast);
        let statement = match self.session.version() {
            NEW_NAMES_VERSION.. => format!("SELECT pg_backup_start({label}, {is_fast})"),
            _ => format!("SELECT pg_start_backup({label}, {is_fast}, false)"),
        };
        let mut guard = CancelGuard::new(self.session.cancel_token());
        let row = self.session.row(&statement, NO_START_LIMIT).await;
        guard.disarm();
        let row = row.map_err(failed)?;
        let lsn = row.parse(0, "WAL position").map_err(failed)?;
        let timeline = self.row(START_TIMELINE).await?.parse(0, "timeline").map_err(failed)?;
        Ok((lsn, timeline))
    }

    /// Ends the backup that began on the timeline `start`. It doesn't wait for the archiver.
    pub(super) async fn stop(&mut self, start: Timeline) -> Result<Stop, SourceError> {
        let function = match self.session.version() {
            NEW_NAMES_VERSION.. => "pg_backup_stop(false)",
            _ => "pg_stop_backup(false, false)",
        };
        // On a standby, the backup ends at the position that recovery must reach.
        let statement = format!(
            "SELECT b.lsn, CASE WHEN pg_is_in_recovery() THEN r.min_recovery_end_timeline ELSE 0 END, \
             b.labelfile, b.spcmapfile, extract(epoch FROM clock_timestamp())::bigint \
             FROM {function} AS b, pg_control_recovery() AS r"
        );
        let row = self.session.row(&statement, STOP_LIMIT).await.map_err(failed)?;
        let stop = || {
            let timeline = Timeline::new(row.parse(1, "timeline")?).unwrap_or(start);
            Ok(Stop {
                lsn: row.parse(0, "WAL position")?,
                timeline,
                label: row.bytes(2).cloned().unwrap_or_default(),
                tablespace_map: row.bytes(3).cloned().unwrap_or_default(),
                time: row.parse(4, "time")?,
            })
        };
        stop().map_err(failed)
    }

    /// Creates a temporary replication slot, which keeps WAL from the last checkpoint on.
    pub(super) async fn create_slot(&mut self, name: &str) -> Result<(), SourceError> {
        let statement = format!("SELECT pg_create_physical_replication_slot({}, true, true)", quoted(name));
        self.row(&statement).await.map(drop)
    }

    /// Returns whether the server is a standby now.
    pub(super) async fn is_standby(&mut self) -> Result<Option<bool>, SourceError> {
        let row = self.row("SELECT pg_is_in_recovery()").await?;
        Ok(row.text(0).map_err(failed)?.map(|value| value == "t"))
    }

    /// Waits until the session is lost.
    pub(super) async fn lost(&mut self) -> SourceError {
        failed(self.session.lost().await)
    }

    /// Ends the session.
    pub(super) async fn end(self) {
        // The server notices the closed connection, too.
        let _ = self.session.end().await;
    }

    /// Returns the single row of a statement.
    pub(super) async fn row(&mut self, statement: &str) -> Result<SqlRow, SourceError> {
        self.session.row(statement, LIMIT).await.map_err(failed)
    }
}

/// Quotes a text; the session has standard strings.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
