//! The storing half: compressed frames → parts → objects, and the index of both.

use swiftwal_compression::Format;
use swiftwal_postgres::Tablespace;
use tokio::sync::mpsc;

use super::{
    BackupEvent, Observe,
    claim::Claim,
    read::{Item, PendingFrame},
    store_part,
    upload::Upload,
};
use crate::{
    BackupKey, BackupPart, Error, ObjectName, RecordedObject, Repository, Result,
    index::{Frame, IndexWriter, Line},
};

/// The tars of one backup, stored one after the other.
#[derive(Debug)]
pub(super) struct Uploads<'a> {
    repository: &'a Repository,
    key: BackupKey,
    format: Format,
    index: IndexWriter,
    current: Option<Tar<'a>>,
    stored: Vec<RecordedObject>,
    tar_bytes: u64,
    stored_bytes: u64,
}

#[derive(Debug)]
struct Tar<'a> {
    upload: Upload<'a>,
    tablespace: Option<Tablespace>,
    tar_bytes: u64,
}

impl<'a> Uploads<'a> {
    pub(super) fn new(repository: &'a Repository, key: BackupKey, format: Format) -> Result<Self> {
        let index = IndexWriter::new()?;
        let stored = Vec::new();
        Ok(Self { repository, key, format, index, current: None, stored, tar_bytes: 0, stored_bytes: 0 })
    }

    /// Stores what comes until its end was said.
    pub(super) async fn store(
        &mut self,
        mut items: mpsc::Receiver<Item>,
        claim: &Claim<'_>,
        observe: Observe<'_>,
    ) -> Result<()> {
        while let Some(item) = items.recv().await {
            match item {
                Item::Archive(tablespace) => {
                    self.end_tar(claim).await?;
                    self.begin(tablespace)?;
                }
                Item::Label(label) => {
                    claim.begin_at(&label).await?;
                    observe(BackupEvent::Label(&label));
                }
                Item::Frame(frame) => {
                    self.frame(frame).await?;
                    let (tar_bytes, stored_bytes) = (self.tar_bytes, self.stored_bytes);
                    observe(BackupEvent::Progress { tar_bytes, stored_bytes });
                }
                Item::End => return self.end_tar(claim).await,
            }
        }
        Err(Error::damaged("the base backup", "it broke off"))
    }

    fn begin(&mut self, tablespace: Option<Tablespace>) -> Result<()> {
        let part =
            BackupPart::Tar { tablespace: tablespace.as_ref().map(|space| space.oid), format: self.format };
        let name = ObjectName::Backup { key: self.key, part };
        self.index.write(&Line::Object { object: name.to_string() })?;
        self.current = Some(Tar { upload: Upload::new(self.repository, name), tablespace, tar_bytes: 0 });
        Ok(())
    }

    async fn frame(&mut self, frame: PendingFrame) -> Result<()> {
        let PendingFrame { compressed, tar_bytes, members } = frame;
        let broken = |error: &dyn std::fmt::Display| Error::damaged("a frame of the base backup", error);
        let compressed = compressed.await.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let Some(tar) = &mut self.current else {
            return Err(Error::damaged("the base backup", "a frame came before its tar began"));
        };
        let stored_bytes = compressed.len() as u64;
        let frame = Frame { offset: tar.upload.bytes(), stored_bytes, tar_bytes };
        self.index.write(&Line::Frame { frame, members })?;
        tar.upload.write(compressed.into()).await?;
        tar.tar_bytes += tar_bytes;
        self.tar_bytes += tar_bytes;
        self.stored_bytes += stored_bytes;
        Ok(())
    }

    /// Gives the current tar its name, if there is one.
    async fn end_tar(&mut self, claim: &Claim<'_>) -> Result<()> {
        let Some(tar) = &mut self.current else { return Ok(()) };
        claim.ensure_alone().await?;
        let recorded = tar.upload.finish().await?;
        self.stored.push(RecordedObject {
            tar_bytes: Some(tar.tar_bytes),
            tablespace_location: tar.tablespace.take().map(|space| space.location),
            ..recorded
        });
        self.current = None;
        Ok(())
    }

    /// Stores the index. Returns what the commit record shall name.
    pub(super) async fn finish(self) -> Result<Vec<RecordedObject>> {
        let Self { repository, key, index, mut stored, .. } = self;
        stored.push(store_part(repository, key, BackupPart::Index, index.finish()?).await?);
        Ok(stored)
    }

    /// Gives up the tar that is being written. Those that were finished go with the claim.
    pub(super) async fn abort(mut self) {
        if let Some(tar) = &mut self.current {
            tar.upload.abort().await;
        }
    }
}
