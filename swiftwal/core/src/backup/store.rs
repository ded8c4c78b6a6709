//! The storing half: compressed frames → parts → objects, and the index of both.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
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
    error::{Error, Result},
    repository::{
        Repository,
        index::{Frame, IndexWriter, Line},
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        record::RecordedObject,
    },
};

/// How many objects are looked at at a time.
const LOOKS: usize = 16;

/// The tars of one backup, stored one after the other.
#[derive(Debug)]
pub(super) struct Uploads<'a> {
    repository: &'a Repository,
    key: BackupKey,
    format: Format,
    index: IndexWriter,
    current: Option<Tar<'a>>,
    /// The tars before the current one.
    named: Vec<RecordedObject>,
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
        let named = Vec::new();
        Ok(Self { repository, key, format, index, current: None, named, tar_bytes: 0, stored_bytes: 0 })
    }

    /// Stores what comes until its end was said. The tar that comes last, which is the data directory's, gets no name
    /// here; of those before it, which are tablespaces, too many might have to be held.
    pub(super) async fn store(
        &mut self,
        mut items: mpsc::Receiver<Item>,
        claim: &Claim<'_>,
        observe: Observe<'_>,
    ) -> Result<()> {
        while let Some(item) = items.recv().await {
            match item {
                Item::Archive(tablespace) => {
                    self.name_tar_before(claim).await?;
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
                Item::End => return Ok(()),
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

    /// Gives the current tar its name, if there is one, as another one begins.
    async fn name_tar_before(&mut self, claim: &Claim<'_>) -> Result<()> {
        let Some(tar) = &mut self.current else { return Ok(()) };
        claim.ensure_alone().await?;
        self.named.push(tar.finish().await?);
        self.current = None;
        Ok(())
    }

    /// Waits until all of the last tar is in the storage, though without a name.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        match &mut self.current {
            Some(tar) => tar.upload.send_rest().await,
            None => Ok(()),
        }
    }

    /// Nothing, if the tars that got their names a while ago are there as they were stored.
    pub(super) async fn prove_named(&mut self) -> Result<()> {
        let Self { repository, named, .. } = self;
        let looks: Vec<_> = named.iter().map(|object| prove(repository, object).boxed()).collect();
        stream::iter(looks).buffer_unordered(LOOKS).try_collect().await
    }

    /// Gives the last tar its name, and stores the index. Returns what the commit record shall name.
    pub(super) async fn finish(self) -> Result<Vec<RecordedObject>> {
        let Self { repository, key, index, current, mut named, .. } = self;
        let tar = async {
            let Some(mut tar) = current else { return Ok(None) };
            let finished = tar.finish().await;
            if finished.is_err() {
                tar.upload.abort().await;
            }
            finished.map(Some)
        };
        let index = async { store_part(repository, key, BackupPart::Index, index.finish()?).await };
        let (tar, index) = tokio::join!(tar, index);
        named.extend(tar?);
        named.push(index?);
        Ok(named)
    }

    /// Gives up the tar that is being written. Those that have their names go with the claim.
    pub(super) async fn abort(mut self) {
        if let Some(tar) = &mut self.current {
            tar.upload.abort().await;
        }
    }
}

impl Tar<'_> {
    /// Gives it its name, durably, and says what the commit record shall say of it.
    async fn finish(&mut self) -> Result<RecordedObject> {
        let recorded = self.upload.finish().await?;
        Ok(RecordedObject {
            tar_bytes: Some(self.tar_bytes),
            tablespace_location: self.tablespace.take().map(|space| space.location),
            ..recorded
        })
    }
}

/// Nothing, if the object is there as it was stored.
async fn prove(repository: &Repository, object: &RecordedObject) -> Result<()> {
    let name = ObjectName::parse(&object.name);
    let stored = repository.size(&name).await?;
    if stored == Some(object.bytes) {
        return Ok(());
    }
    let found = stored.map_or("is gone".to_owned(), |bytes| format!("has {bytes} bytes"));
    let reason = format!("{} bytes were stored, and now it {found}: somebody else writes here", object.bytes);
    Err(Error::damaged(name, reason))
}
