//! The marker of a running backup: prune doesn't touch the backup's objects as long as the marker is young.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use object_store::PutMode;
use swiftwal_postgres::{Lsn, SegmentName};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    repository::{Repository, key::BackupKey, layout::ObjectName, markers::MarkerContent},
};

/// The interval at which a running backup rewrites its marker.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(600);

/// The marker of one backup.
#[derive(Debug)]
pub(super) struct RunningMarker<'a> {
    repository: &'a Repository,
    pub(super) name: ObjectName,
    /// Locked while it is written, so that an older content is never written last.
    content: Mutex<MarkerContent>,
}

impl<'a> RunningMarker<'a> {
    pub(super) fn new(repository: &'a Repository, key: BackupKey, id: Uuid, started: Timestamp) -> Self {
        let content = MarkerContent {
            host: super::host(),
            pid: std::process::id(),
            started,
            parent: None,
            first_wal: None,
            start_lsn: None,
        };
        let name = ObjectName::Marker { claim: key.to_string(), id: id.to_string() };
        Self { repository, name, content: Mutex::new(content) }
    }

    /// Creates the marker.
    pub(super) async fn create(&self) -> Result<()> {
        let content = self.content.lock().await;
        let bytes = self.bytes(&content)?;
        self.repository.put_new(&self.name, bytes.into()).await
    }

    fn bytes(&self, content: &MarkerContent) -> Result<Vec<u8>> {
        serde_json::to_vec(content).map_err(|error| Error::damaged(&self.name, error))
    }

    /// Records which WAL the backup will need. Returns false if the marker contains that already.
    pub(super) async fn begin_at(&self, first_wal: SegmentName, start_lsn: Lsn) -> Result<bool> {
        let known =
            |content| MarkerContent { first_wal: Some(first_wal), start_lsn: Some(start_lsn), ..content };
        self.change(known).await
    }

    /// Records which backup this one builds on.
    pub(super) async fn build_on(&self, parent: BackupKey) -> Result<()> {
        self.change(|content| MarkerContent { parent: Some(parent), ..content }).await.map(drop)
    }

    /// Returns whether it was changed.
    async fn change(&self, change: impl FnOnce(MarkerContent) -> MarkerContent + Send) -> Result<bool> {
        let mut content = self.content.lock().await;
        let changed = change(content.clone());
        if changed == *content {
            return Ok(false);
        }
        self.write(&changed).await?;
        // Only what was written counts.
        *content = changed;
        Ok(true)
    }

    async fn write(&self, content: &MarkerContent) -> Result<()> {
        let bytes = self.bytes(content)?;
        self.repository.put(&self.name, bytes.into(), PutMode::Overwrite).await.map(drop)
    }

    /// Rewrites the marker from time to time, as long as it is polled. A failure isn't fatal: the next attempt comes
    /// long before the marker counts as abandoned.
    pub(super) async fn keep_alive(&self) -> Infallible {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let content = self.content.lock().await;
            if let Err(error) = self.write(&content).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the marker of the backup couldn't be renewed; trying again"
                );
            }
        }
    }

    /// Removes it.
    pub(super) async fn remove(&self) -> Result<()> {
        self.repository.delete(&self.name).await
    }
}
