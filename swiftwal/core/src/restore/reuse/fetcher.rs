//! Fetches the frames that were selected, for a writer in a blocking thread.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::sync::mpsc;

use super::content::ArrivingFrames;
use crate::{
    error::Result,
    local::blocking::blocking,
    repository::{
        Repository,
        fetch::{self, Buffers, SelectedFrames, StoredTar},
    },
    restore::{Observe, RestoreEvent, extract::Extracted},
};

/// Fetches one tar after another.
pub(super) struct Fetcher<'a> {
    repository: &'a Repository,
    buffers: Buffers,
    written: Arc<AtomicU64>,
    total_tar_bytes: u64,
    observe: Observe<'a>,
}

impl<'a> Fetcher<'a> {
    /// Begins to fetch frames with `total_tar_bytes` of tar.
    pub(super) fn new(repository: &'a Repository, total_tar_bytes: u64, observe: Observe<'a>) -> Self {
        Self { repository, buffers: Buffers::new(), written: Arc::default(), total_tar_bytes, observe }
    }

    /// Fetches the selected frames of a tar, and passes them to `write`.
    pub(super) async fn fetch(
        &self,
        tar: StoredTar,
        selected: SelectedFrames,
        write: impl FnOnce(ArrivingFrames<'_>) -> Result<Extracted> + Send + 'static,
    ) -> Result<Extracted> {
        let (sender, receiver) = mpsc::channel(fetch::PIECES_WAITING);
        let written = Arc::clone(&self.written);
        let writing = blocking(move || {
            let extracted = write(ArrivingFrames::new(receiver, selected.frames, &written))?;
            Ok(Extracted { fetched_bytes: Some(selected.stored_bytes), ..extracted })
        });
        let progress = || {
            let tar_bytes = self.written.load(Ordering::Relaxed);
            let total_tar_bytes = Some(self.total_tar_bytes);
            (self.observe)(RestoreEvent::Progress { tar_bytes, total_tar_bytes });
        };
        let fetching = fetch::fetch_selected(self.repository, tar, sender, &self.buffers, &progress);
        // Both run to their ends, even if one fails: a writer that is still running would outlast the destination.
        let (fetched, extracted) = tokio::join!(fetching, writing);
        fetched.and(extracted)
    }
}
