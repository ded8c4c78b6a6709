//! How long the start may take, and what stays of the claim meanwhile.

use std::{sync::Arc, time::Duration};

use object_store::memory::InMemory;
use swiftwal_postgres::{BaseBackupStream, Checkpoint, SourceError};
use tokio::time::sleep;

use super::*;
use crate::{
    backup::{BackupOptions, backup},
    error::{Error, Overdue},
    local::clock::SystemClock,
    repository::{Repository, markers::all_markers},
    storage::Storage,
};

/// A source that waits for a checkpoint that never ends.
#[derive(Debug)]
struct Endless;

#[async_trait::async_trait]
impl BaseBackupSource for Endless {
    async fn start(&self, _: &BaseBackupRequest) -> Result<Box<dyn BaseBackupStream>, SourceError> {
        std::future::pending().await
    }
}

fn repository() -> Repository {
    Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock))
}

async fn take(repository: &Repository) -> Error {
    let options = BackupOptions {
        label: String::new(),
        mode: crate::BackupMode::Full,
        checkpoint: Checkpoint::Spread,
        include_wal: true,
        codec: swiftwal_compression::Codec::default(),
        archive_timeout: Duration::from_secs(60),
        copy: swiftwal_postgres::CopyOptions::default(),
        estimate_size: false,
    };
    backup(repository, &Endless, &options, &|_| {}, std::future::pending()).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_source_that_waits_for_an_endless_checkpoint_is_given_up_after_four_hours() {
    let (repository, began) = (repository(), Instant::now());
    match take(&repository).await {
        Error::TimedOut(overdue) => assert_eq!(overdue, Overdue::Start { limit: CHECKPOINT_LIMIT }),
        other => panic!("{other:?}"),
    }
    assert_eq!(began.elapsed(), CHECKPOINT_LIMIT);
    assert!(all_markers(&repository).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_claim_is_renewed_while_the_source_waits_for_the_checkpoint() {
    let repository = repository();
    let renewed = async {
        sleep(Duration::from_secs(3600)).await;
        let markers = all_markers(&repository).await.unwrap();
        repository.delete_all(markers.into_iter().map(|(name, _)| name)).await.unwrap();
        sleep(Duration::from_secs(601)).await;
        all_markers(&repository).await.unwrap()
    };
    tokio::select! {
        error = take(&repository) => panic!("{error}"),
        markers = renewed => assert_eq!(markers.len(), 1),
    }
}
