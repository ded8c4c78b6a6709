//! Reads a tar with several readers, and returns its chunks in order.
//!
//! One thread walks the directories and opens the files; for each chunk it starts a reader. It waits as soon as
//! [`LOCAL_CHUNKS`] of them haven't been taken.

#[cfg(test)]
mod tests;

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle, spawn_blocking},
};

use super::{
    chunk::{self, Chunk},
    failure::unexpected,
    page_checks::PageChecks,
    plan::{Plan, Planner},
};
use crate::{ChunkPool, SourceError};

/// How many chunks a local backup reads at the same time, whatever the number of cores: each of them takes
/// [`CHUNK_BYTES`](crate::CHUNK_BYTES), and more of them don't make a disk faster.
pub const LOCAL_CHUNKS: usize = 3;
/// The chunks that are in memory beside those that wait: the one that is waited for, and the one that waits to be passed on.
const CHUNKS_AT_THE_ENDS: usize = 2;

/// A tar that is being read. Dropping it ends the reading.
#[derive(Debug)]
pub(super) struct Copy {
    chunks: mpsc::Receiver<JoinHandle<Result<Chunk, SourceError>>>,
    /// The chunk that is waited for.
    reading: Option<JoinHandle<Result<Chunk, SourceError>>>,
    planning: JoinHandle<Result<(), SourceError>>,
}

impl Copy {
    /// Begins to read what `plan` plans, from `position` of the tar on.
    pub(super) fn start(
        position: u64,
        checks: Option<PageChecks>,
        pool: ChunkPool,
        plan: impl FnOnce(&mut Planner<'_>) -> Result<(), SourceError> + Send + 'static,
    ) -> Self {
        let (sender, chunks) = mpsc::channel(LOCAL_CHUNKS - CHUNKS_AT_THE_ENDS);
        let planning = spawn_blocking(move || {
            let mut send = |plan: Plan| {
                let buffer = pool.take();
                let reading = spawn_blocking(move || chunk::read(plan, buffer, checks));
                sender.blocking_send(reading).map_err(|_| unexpected("the backup was given up"))
            };
            let mut planner = Planner::new(position, &mut send);
            plan(&mut planner)?;
            planner.finish()
        });
        Self { chunks, reading: None, planning }
    }

    /// Returns the next chunk; `None` at the end, and not again. The call may be cancelled and repeated.
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, SourceError> {
        if self.reading.is_none() {
            self.reading = self.chunks.recv().await;
        }
        let Some(reading) = &mut self.reading else {
            (&mut self.planning).await.map_err(panicked)??;
            return Ok(None);
        };
        let chunk = reading.await.map_err(panicked)?;
        self.reading = None;
        chunk.map(Some)
    }
}

fn panicked(error: JoinError) -> SourceError {
    unexpected("a reader of the server's files failed").caused_by(error)
}
