//! Queries the server's facts, and holds WAL with a replication slot.

use async_trait::async_trait;

use super::psql::{Connection, Psql};
use crate::{
    Archiving, ConnectOptions, Database, ServerFacts, ServerSession, SourceError, SourceErrorKind, database,
    printable,
    server_facts::{major_version, segment_size, standby_by, temporary_slot_name},
};

/// The first version with `archive_library`.
const ARCHIVE_LIBRARY_VERSION: u32 = 150_000;

/// Returns the directories of the tablespaces, in-place ones included; an empty text if there are none.
const TABLESPACES: &str = "SELECT coalesce(string_agg(place, ', '), '') \
    FROM (SELECT pg_tablespace_location(oid) AS place FROM pg_tablespace) AS spaces WHERE place <> ''";

const IDENTIFY: &str = "IDENTIFY_SYSTEM";

/// A replication connection beside that of the base backup.
#[derive(Debug)]
pub(super) struct PsqlSession {
    psql: Psql,
    facts: ServerFacts,
}

impl PsqlSession {
    /// Connects, and queries all facts.
    pub(super) async fn connect(
        pg_basebackup: Option<&std::path::Path>,
        connect: &ConnectOptions,
    ) -> Result<Self, SourceError> {
        let databases = refuse_tablespaces(pg_basebackup, connect).await?;
        let mut psql = Psql::start(pg_basebackup, connect, Connection::Replication)?;
        let mut facts = identity(&mut psql).await?;
        // Before version 10, SHOW is an error on such a connection, and ends it.
        if let Ok(version) = show(&mut psql, "server_version_num").await {
            let version = version.parse().unwrap_or_default();
            facts.postgres_version = major_version(version);
            settings(&mut psql, version, &mut facts).await?;
        }
        facts.databases = databases;
        Ok(Self { psql, facts })
    }
}

/// Refuses a server with tablespaces, before the checkpoint; `pg_basebackup` would refuse it afterwards. A replication
/// connection can't query them. If an ordinary connection isn't permitted, nothing is known. Returns the databases.
///
/// # Errors
///
/// Only [`SourceErrorKind::Tablespaces`].
async fn refuse_tablespaces(
    pg_basebackup: Option<&std::path::Path>,
    connect: &ConnectOptions,
) -> Result<Option<Vec<Database>>, SourceError> {
    let asked = async {
        let mut psql = Psql::start(pg_basebackup, connect, Connection::Sql)?;
        let tablespaces = psql.ask(TABLESPACES).await?;
        let databases = psql.ask(database::QUERY).await?;
        psql.end().await;
        let text = |row: Vec<String>| row.into_iter().next().unwrap_or_default();
        Ok::<_, SourceError>((text(tablespaces), database::parse(&text(databases))))
    };
    match asked.await {
        Ok((locations, databases)) if locations.is_empty() => Ok(databases),
        Ok((locations, _)) => Err(SourceError::new(
            SourceErrorKind::Tablespaces,
            format!(
                "pg_basebackup can't stream a cluster with tablespaces, and the server has some in {}; this method needs a \
                 cluster whose data is all in its data directory",
                printable(&locations)
            ),
        )),
        Err(error) => {
            tracing::debug!("can't look for tablespaces before the copy: {error}");
            Ok(None)
        }
    }
}

async fn identity(psql: &mut Psql) -> Result<ServerFacts, SourceError> {
    let row = psql.ask(IDENTIFY).await?;
    let column = |at: usize| row.get(at).map(String::as_str).unwrap_or_default();
    match (column(0).parse(), column(1).parse()) {
        (Ok(system_identifier), Ok(timeline)) => Ok(ServerFacts::new(system_identifier, timeline)),
        _ => Err(SourceError::new(
            SourceErrorKind::Failed,
            format!("the answer to {IDENTIFY} can't be read: {}", printable(&row.join(" "))),
        )),
    }
}

async fn settings(psql: &mut Psql, version: u32, facts: &mut ServerFacts) -> Result<(), SourceError> {
    let mode = show(psql, "archive_mode").await?;
    let command = show(psql, "archive_command").await?;
    let has_library = version >= ARCHIVE_LIBRARY_VERSION;
    let library = if has_library { show(psql, "archive_library").await? } else { String::new() };
    facts.archiving = Some(Archiving::new(mode, command, library));
    facts.segment_size = segment_size(&show(psql, "wal_segment_size").await?);
    facts.is_standby = is_standby(psql).await?;
    Ok(())
}

async fn is_standby(psql: &mut Psql) -> Result<Option<bool>, SourceError> {
    let reads_only = show(psql, "transaction_read_only").await?;
    let by_default = show(psql, "default_transaction_read_only").await?;
    Ok(standby_by(&reads_only, &by_default))
}

/// Returns the value of a setting.
async fn show(psql: &mut Psql, setting: &str) -> Result<String, SourceError> {
    let row = psql.ask(&format!("SHOW {setting}")).await?;
    Ok(row.into_iter().next().unwrap_or_default())
}

#[async_trait]
impl ServerSession for PsqlSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn hold_wal(&mut self) -> Result<(), SourceError> {
        let slot = temporary_slot_name();
        self.psql.ask(&format!("CREATE_REPLICATION_SLOT {slot} TEMPORARY PHYSICAL RESERVE_WAL")).await?;
        Ok(())
    }

    async fn end(self: Box<Self>) {
        self.psql.end().await;
    }

    async fn is_standby(&mut self) -> Result<Option<bool>, SourceError> {
        if self.facts.is_standby.is_some() {
            return is_standby(&mut self.psql).await;
        }
        // Before version 10, SHOW ends the session.
        self.psql.ask(IDENTIFY).await?;
        Ok(None)
    }
}
