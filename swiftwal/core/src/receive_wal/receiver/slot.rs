//! The replication slot of the receiver.

use swiftwal_postgres::{
    Lsn, SourceError, WalServer, receiving,
    replication::{ReplicationError, Session, SlotOptions},
};

use super::Receiver;
use crate::{error::Result, receive_wal::frontier::segment_start};

/// The SQLSTATE of a slot that exists already.
const DUPLICATE_OBJECT: &str = "42710";

impl Receiver<'_> {
    /// Creates the slot unless it exists, and returns whether it was created.
    pub(super) async fn create_slot(&self, session: &mut Session) -> Result<bool> {
        let slot = &self.options.slot;
        // The server would log an error each time if the slot were created without asking.
        if let Ok(Some(_)) = session.read_slot(slot).await {
            return Ok(false);
        }
        let options = SlotOptions { reserve_wal: true, temporary: false };
        match session.create_slot(slot, options).await {
            Err(error) if error.code() == Some(DUPLICATE_OBJECT) => Ok(false),
            Ok(()) => {
                tracing::info!("created the replication slot {slot}");
                Ok(true)
            }
            Err(error) => Err(receiving(error).into()),
        }
    }

    /// Creates the slot again if that is allowed, after the server has invalidated it. PostgreSQL refuses to use such a slot
    /// from version 18 on.
    pub(super) async fn replace_slot(&self, error: SourceError) -> Result<()> {
        let slot = &self.options.slot;
        if !self.options.create_slot {
            let hint = format!(
                "start receive-wal with --create-slot, which drops the invalidated slot {slot} and creates it again; the \
                 WAL that the server has removed meanwhile is then a gap"
            );
            return Err(error.with_hint(hint).into());
        }
        let mut session = self.connector.replication().await.map_err(receiving)?;
        // Reading it fails for a logical slot, which isn't dropped.
        if let Ok(Some(_)) = session.read_slot(slot).await {
            session.drop_slot(slot).await.map_err(receiving)?;
        } else {
            return Err(error.into());
        }
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the server has invalidated the replication slot {slot}; it was dropped, and is created again"
        );
        self.create_slot(&mut session).await.map(drop)
    }

    /// Returns the start of the oldest segment that the slot keeps. None if the server doesn't say: before PostgreSQL 15, or
    /// if the slot keeps none.
    pub(super) async fn kept(&self, session: &mut Session, server: &WalServer) -> Result<Option<Lsn>> {
        match session.read_slot(&self.options.slot).await {
            Ok(slot) => {
                Ok(slot.and_then(|slot| slot.restart).map(|lsn| segment_start(lsn, server.segment_size)))
            }
            Err(ReplicationError::Version { .. }) => Ok(None),
            Err(error) => Err(receiving(error).into()),
        }
    }
}
