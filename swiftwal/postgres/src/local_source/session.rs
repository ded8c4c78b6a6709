//! Queries the server's facts, and holds WAL with a replication slot.

use std::hash::{BuildHasher, Hasher, RandomState};

use async_trait::async_trait;

use super::server::Server;
use crate::{ServerFacts, ServerSession, SourceError};

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
        let unique = RandomState::new().build_hasher().finish();
        // The server drops a temporary slot when the connection that created it ends, for any reason.
        self.server.create_slot(&format!("swiftwal_{unique:016x}")).await
    }

    async fn end(self: Box<Self>) {
        self.server.end().await;
    }

    async fn is_standby(&mut self) -> Result<Option<bool>, SourceError> {
        self.server.is_standby().await
    }
}
