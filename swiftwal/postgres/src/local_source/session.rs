//! Queries the server's facts, and holds WAL with a replication slot.

use async_trait::async_trait;

use super::server::Server;
use crate::{ServerFacts, ServerSession, SourceError, server_facts::temporary_slot_name};

/// An ordinary connection beside that of the base backup.
#[derive(Debug)]
pub(super) struct SqlServerSession {
    server: Server,
    facts: ServerFacts,
}

impl SqlServerSession {
    /// Queries all facts.
    pub(super) async fn new(mut server: Server) -> Result<Self, SourceError> {
        let facts = server.facts().await?;
        Ok(Self { server, facts })
    }
}

#[async_trait]
impl ServerSession for SqlServerSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn hold_wal(&mut self) -> Result<(), SourceError> {
        self.server.create_slot(&temporary_slot_name()).await
    }

    async fn end(self: Box<Self>) {
        self.server.end().await;
    }

    async fn is_standby(&mut self) -> Result<Option<bool>, SourceError> {
        self.server.is_standby().await
    }
}
