//! The texts that are stored beside the tars while these are uploaded: the index, and PostgreSQL's manifest.

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

/// The largest amount of text in one frame.
const FRAME_BYTES: usize = 4 << 20;

/// An object of compressed text that is uploaded as it grows, so that the number of a cluster's files isn't limited by
/// memory. It gets its name only in [`finish`](Self::finish).
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

    /// Adds to the text. Waits if enough of it is being uploaded.
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

    /// Waits until all of it is stored, without a name yet; if it is a single part, it stays in memory.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        if !self.text.is_empty() {
            self.end_frame().await?;
        }
        self.upload.send_rest().await
    }

    /// Gives the object its name, durably. If that fails, the parts are removed as far as the storage allows.
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

    /// Abandons the upload: its parts are removed as far as the storage allows.
    pub(super) async fn abort(mut self) {
        self.upload.abort().await;
    }
}
