//! Takes base backups over the replication protocol, without another program.
//!
//! It adapts the client in [`replication`](crate::replication) to the interface that sources of base backups share. In
//! contrast to `pg_basebackup`, it supports tablespaces, doesn't wait for the server's archiver, and knows the cluster before
//! the first byte. From version 16 on, a server sends an in-place tablespace as an archive of its own; version 15 sends it in
//! that of the data directory.

pub(crate) mod cancel;
pub(crate) mod failure;
mod parent;
pub(crate) mod session;
mod stream;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use self::{
    cancel::CancelGuard,
    failure::{connecting, failed},
    parent::{refused, upload},
    session::ReplicationSession,
    stream::ReplicationStream,
};
use crate::{
    BaseBackupRequest, BaseBackupSource, BaseBackupStream, Checkpoint, Connector, Database, MaxRate,
    ServerSession, SourceError, database,
    replication::{BackupOptions, BaseBackup, ReplicationError, Session},
};

const QUERY_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// Takes base backups over the replication protocol, from servers of version 13 and later.
#[derive(Debug, Clone)]
pub struct ReplicationSource {
    connector: Connector,
}

impl ReplicationSource {
    /// Creates a source for a server.
    pub fn new(connector: Connector) -> Self {
        Self { connector }
    }

    async fn session(&self) -> Result<Session, SourceError> {
        self.connector.replication().await.map_err(connecting)
    }

    /// Returns the server's databases. None if it accepts no ordinary connection, which a backup doesn't need.
    async fn databases(&self) -> Option<Vec<Database>> {
        match self.ask_for_databases().await {
            Ok(databases) => databases,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "can't list the server's databases over an ordinary connection");
                None
            }
        }
    }

    async fn ask_for_databases(&self) -> Result<Option<Vec<Database>>, ReplicationError> {
        let mut session = self.connector.sql().await?;
        let answer = session.row(database::QUERY, QUERY_LIMIT).await?.text(0)?.and_then(database::parse);
        session.end().await?;
        Ok(answer)
    }
}

#[async_trait]
impl BaseBackupSource for ReplicationSource {
    async fn connect(&self) -> Result<Option<Box<dyn ServerSession>>, SourceError> {
        let mut session = ReplicationSession::new(self.session().await?).await?;
        session.facts.databases = self.databases().await;
        Ok(Some(Box::new(session)))
    }

    async fn start(&self, request: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        let mut session = self.session().await?;
        let facts = session::facts(&mut session).await.map_err(failed)?;
        let data_checksums = session.show("data_checksums").await.map_err(failed)? == "on";
        if let Some(manifest) = &request.parent_manifest {
            upload(&mut session, manifest).await?;
        }
        let mut guard = CancelGuard::new(session.cancel_token());
        match BaseBackup::start(session, &options(request)).await {
            Ok(backup) => Ok(Box::new(ReplicationStream::new(backup, guard, &facts, data_checksums)?)),
            Err(error) => {
                guard.disarm();
                Err(if request.parent_manifest.is_some() { refused(error) } else { failed(error) })
            }
        }
    }
}

/// The callers of [`BaseBackupSource::start`] and [`BaseBackupStream::next`] set their own limits.
const NO_LIMIT: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

fn options(request: &BaseBackupRequest) -> BackupOptions {
    let mut options = BackupOptions::new(request.label.clone());
    options.fast_checkpoint = request.checkpoint == Checkpoint::Fast;
    options.include_wal = request.include_wal;
    options.progress = request.estimate_size;
    options.max_rate_kib = request.copy.max_rate.map(MaxRate::kib);
    options.verify_checksums = !request.copy.skips_checksums;
    options.start_limit = NO_LIMIT;
    options.silence_limit = NO_LIMIT;
    options.incremental = request.parent_manifest.is_some();
    options
}
