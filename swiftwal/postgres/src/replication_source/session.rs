//! Queries the server's facts, and holds WAL with a replication slot.

use async_trait::async_trait;

use super::failure::failed;
use crate::{
    Archiving, ServerFacts, ServerSession, SourceError,
    replication::{ReplicationError, Session, SlotOptions},
    server_facts::{bytes, major_version, segment_size, standby_by, temporary_slot_name},
};

/// The first version with `archive_library`.
const ARCHIVE_LIBRARY_VERSION: u32 = 150_000;

/// The first version with `summarize_wal`.
const SUMMARIES_VERSION: u32 = 170_000;

/// A replication connection beside that of the base backup.
#[derive(Debug)]
pub(super) struct ReplicationSession {
    session: Session,
    pub(super) facts: ServerFacts,
}

impl ReplicationSession {
    /// Queries all facts.
    pub(super) async fn new(mut session: Session) -> Result<Self, SourceError> {
        let facts = facts(&mut session).await.map_err(failed)?;
        Ok(Self { session, facts })
    }
}

/// Returns what a server says of itself.
pub(super) async fn facts(session: &mut Session) -> Result<ServerFacts, ReplicationError> {
    let identity = session.identify_system().await?;
    let mut facts = ServerFacts::new(identity.system_identifier, identity.timeline);
    facts.postgres_version = major_version(session.version());
    let mode = session.show("archive_mode").await?;
    let command = session.show("archive_command").await?;
    let has_library = session.version() >= ARCHIVE_LIBRARY_VERSION;
    let library = if has_library { session.show("archive_library").await? } else { String::new() };
    facts.archiving = Some(Archiving::new(mode, command, library));
    facts.segment_size = segment_size(&session.show("wal_segment_size").await?);
    facts.is_standby = is_standby(session).await?;
    if session.version() >= SUMMARIES_VERSION {
        facts.summarizes_wal = Some(session.show("summarize_wal").await? == "on");
        facts.page_bytes = bytes(&session.show("block_size").await?);
        facts.relation_segment_bytes = bytes(&session.show("segment_size").await?);
    }
    Ok(facts)
}

/// Returns whether the server is a standby, or was when it last answered.
pub(crate) async fn is_standby(session: &mut Session) -> Result<Option<bool>, ReplicationError> {
    // Servers report it from version 14 on.
    match session.parameter("in_hot_standby") {
        Some(value) => Ok(Some(value == "on")),
        None => is_old_standby(session).await,
    }
}

async fn is_old_standby(session: &mut Session) -> Result<Option<bool>, ReplicationError> {
    let reads_only = session.show("transaction_read_only").await?;
    let by_default = session.show("default_transaction_read_only").await?;
    Ok(standby_by(&reads_only, &by_default))
}

#[async_trait]
impl ServerSession for ReplicationSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn hold_wal(&mut self) -> Result<(), SourceError> {
        let options = SlotOptions { reserve_wal: true, temporary: true };
        self.session.create_slot(&temporary_slot_name(), options).await.map_err(failed)
    }

    async fn end(self: Box<Self>) {
        // The server notices the closed connection, too.
        let _ = self.session.end().await;
    }

    async fn is_standby(&mut self) -> Result<Option<bool>, SourceError> {
        let asked = async {
            self.session.identify_system().await?;
            is_standby(&mut self.session).await
        };
        asked.await.map_err(failed)
    }
}
