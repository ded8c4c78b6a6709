//! A text that is stored beside the tars while they are: the index, and PostgreSQL's manifest.

use swiftwal_compression::compress_frame;
use tokio::task::spawn_blocking;

use super::upload::Upload;
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        key::BackupKey,
        layout::{BackupPart, ObjectName, SIDE_FORMAT},
        record::RecordedObject,
    },
};

/// The most text in one frame.
const FRAME_BYTES: usize = 4 << 20;

/// An object of compressed text that is uploaded as it grows, so that the number of a cluster's files isn't bounded by
/// memory. It has its name only when [`finish`](Self::finish) has returned.
#[derive(Debug)]
pub(super) struct SideText<'a> {
    name: ObjectName,
    upload: Upload<'a>,
    text: Vec<u8>,
}

impl<'a> SideText<'a> {
    pub(super) fn new(repository: &'a Repository, key: BackupKey, part: BackupPart) -> Self {
        let name = ObjectName::Backup { key, part };
        Self { name: name.clone(), upload: Upload::new(repository, name), text: Vec::new() }
    }

    /// Adds to the text. It waits while enough of it is under way.
    pub(super) async fn write(&mut self, text: &[u8]) -> Result<()> {
        self.text.extend_from_slice(text);
        if self.text.len() >= FRAME_BYTES { self.end_frame().await } else { Ok(()) }
    }

    async fn end_frame(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        let compressed = spawn_blocking(move || compress_frame(SIDE_FORMAT.into(), &text)).await;
        let compressed = compressed.map_err(|error| Error::damaged(&self.name, error))?;
        self.upload.write(compressed.map_err(|error| Error::damaged(&self.name, error))?.into()).await
    }

    /// Waits until all of it is in the storage, though without a name, or in memory where one part is all.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        if !self.text.is_empty() {
            self.end_frame().await?;
        }
        self.upload.send_rest().await
    }

    /// Gives it its name, durably. Where that fails, no part stays, as far as the storage can.
    pub(super) async fn finish(mut self) -> Result<RecordedObject> {
        let finished = async {
            self.send_rest().await?;
            self.upload.finish().await
        };
        let finished = finished.await;
        if finished.is_err() {
            self.upload.abort().await;
        }
        finished
    }

    /// Gives up: as far as the storage can, no part stays.
    pub(super) async fn abort(mut self) {
        self.upload.abort().await;
    }
}
