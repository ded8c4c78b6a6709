//! The synthetic server: the facts that it reports before a base backup, and whether it may remove WAL.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use swiftwal_postgres::{ServerFacts, ServerSession, SourceError};

/// Whether the server is prevented from removing WAL.
#[derive(Debug, Default)]
pub(super) struct WalHold {
    pub(super) now: AtomicBool,
    /// Whether data was sent while it wasn't.
    pub(super) sent_without: AtomicBool,
}

/// The facts that the server reports before a backup.
#[derive(Clone, Debug)]
pub(super) enum Facts {
    /// The server isn't queried.
    NotAsked,
    /// The server can't be queried, although it should.
    Unknown,
    Known(ServerFacts),
}

/// A connection to the synthetic server. WAL is held until it is dropped.
#[derive(Debug)]
pub(super) struct SyntheticSession {
    pub(super) facts: ServerFacts,
    pub(super) wal: Arc<WalHold>,
}

#[async_trait]
impl ServerSession for SyntheticSession {
    fn facts(&self) -> &ServerFacts {
        &self.facts
    }

    async fn hold_wal(&mut self) -> Result<(), SourceError> {
        self.wal.now.store(true, Ordering::SeqCst);
        Ok(())
    }

    async fn end(self: Box<Self>) {}

    async fn is_standby(&mut self) -> Result<Option<bool>, SourceError> {
        Ok(self.facts.is_standby)
    }
}

impl Drop for SyntheticSession {
    fn drop(&mut self) {
        self.wal.now.store(false, Ordering::SeqCst);
    }
}
