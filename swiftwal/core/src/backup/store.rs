//! The storing half: compressed frames → parts → objects, and the index of both.

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use swiftwal_compression::Format;
use swiftwal_postgres::Tablespace;
use tokio::sync::mpsc;

use super::{
    BackupEvent, Observe, begun,
    claim::Claim,
    item::{Item, PendingFrame},
    side_text::SideText,
    upload::Upload,
};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        index::{Frame, Line},
        key::BackupKey,
        layout::{BackupPart, ObjectName},
        record::RecordedObject,
    },
};

/// How many objects are checked at a time.
const LOOKS: usize = 16;

/// The tars of one backup, stored one after the other.
#[derive(Debug)]
pub(super) struct Uploads<'a> {
    repository: &'a Repository,
    key: BackupKey,
    format: Format,
    index: SideText<'a>,
    /// PostgreSQL's manifest, once its first bytes have arrived.
    manifest: Option<SideText<'a>>,
    current: Option<Tar<'a>>,
    /// The objects of the earlier tars.
    named: Vec<RecordedObject>,
    tar_bytes: u64,
    stored_bytes: u64,
}

#[derive(Debug)]
struct Tar<'a> {
    upload: Upload<'a>,
    tablespace: Option<Tablespace>,
    /// The number of the object among those of its tar, from 1 on.
    piece: u32,
    tar_bytes: u64,
}

impl<'a> Uploads<'a> {
    pub(super) fn new(repository: &'a Repository, key: BackupKey, format: Format) -> Self {
        Self {
            repository,
            key,
            format,
            index: SideText::new(repository, key, BackupPart::Index),
            manifest: None,
            current: None,
            named: Vec::new(),
            tar_bytes: 0,
            stored_bytes: 0,
        }
    }

    /// Stores items until the end. The last tar, that of the data directory, gets no name here. The earlier ones, those
    /// of tablespaces, do, since there may be too many to keep open.
    pub(super) async fn store(
        &mut self,
        mut items: mpsc::Receiver<Item>,
        claim: &Claim<'_>,
        observe: Observe<'_>,
    ) -> Result<()> {
        self.index_line(&Line::FIRST).await?;
        while let Some(item) = items.recv().await {
            match item {
                Item::Started(start) => begun::admit(&start, self.repository, claim).await?,
                Item::Archive(tablespace) => {
                    self.name_tar_before(claim).await?;
                    self.begin(tablespace, 1).await?;
                }
                Item::Label(label) => {
                    claim.begin_at(label.start_segment(), label.start_lsn()).await?;
                    observe(BackupEvent::Label(&label));
                }
                Item::Frame(frame) => {
                    self.frame(frame, claim).await?;
                    let (tar_bytes, stored_bytes) = (self.tar_bytes, self.stored_bytes);
                    observe(BackupEvent::Progress { tar_bytes, stored_bytes });
                }
                Item::Manifest(text) => self.manifest(&text).await?,
                Item::End => return Ok(()),
            }
        }
        Err(Error::damaged("the base backup", "it broke off"))
    }

    async fn begin(&mut self, tablespace: Option<Tablespace>, piece: u32) -> Result<()> {
        let oid = tablespace.as_ref().map(|space| space.oid);
        let part = BackupPart::Tar { tablespace: oid, piece, format: self.format };
        let name = ObjectName::Backup { key: self.key, part };
        self.index_line(&Line::Object { object: name.to_string() }).await?;
        self.current =
            Some(Tar { upload: Upload::new(self.repository, name), tablespace, piece, tar_bytes: 0 });
        Ok(())
    }

    async fn frame(&mut self, frame: PendingFrame, claim: &Claim<'_>) -> Result<()> {
        let PendingFrame { compressed, tar_bytes, members } = frame;
        let broken = |error: &dyn std::fmt::Display| Error::damaged("a frame of the base backup", error);
        let compressed = compressed.await.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        self.make_room(compressed.len() as u64, claim).await?;
        let Some(tar) = &mut self.current else {
            return Err(Error::damaged("the base backup", "a frame arrived before its tar began"));
        };
        let stored_bytes = compressed.len() as u64;
        let frame = Frame { offset: tar.upload.bytes(), stored_bytes, tar_bytes };
        tar.upload.write(compressed.into()).await?;
        tar.tar_bytes += tar_bytes;
        self.tar_bytes += tar_bytes;
        self.stored_bytes += stored_bytes;
        self.index_line(&Line::Frame { frame, members }).await
    }

    /// Begins the next object of the tar if a frame of `bytes` doesn't fit into the current one.
    async fn make_room(&mut self, bytes: u64, claim: &Claim<'_>) -> Result<()> {
        let Some(tar) = self.current.as_ref().filter(|tar| tar.upload.bytes() > 0) else { return Ok(()) };
        let (tablespace, piece) = (tar.tablespace.clone(), tar.piece);
        let (name, bytes) = (tar.upload.name().clone(), tar.upload.bytes() + bytes);
        if bytes <= largest_object(self.repository, &name, bytes).await? {
            return Ok(());
        }
        self.name_tar_before(claim).await?;
        self.begin(tablespace, piece + 1).await
    }

    async fn index_line(&mut self, line: &Line) -> Result<()> {
        let text = line.to_bytes().map_err(|error| Error::damaged("the backup's index", error))?;
        self.index.write(&text).await
    }

    async fn manifest(&mut self, text: &[u8]) -> Result<()> {
        let new = || SideText::new(self.repository, self.key, BackupPart::Manifest);
        self.manifest.get_or_insert_with(new).write(text).await
    }

    /// Gives the current tar its name, if there is one, since another one begins.
    async fn name_tar_before(&mut self, claim: &Claim<'_>) -> Result<()> {
        let Some(tar) = &mut self.current else { return Ok(()) };
        claim.ensure_alone().await?;
        self.named.push(tar.finish().await?);
        self.current = None;
        Ok(())
    }

    /// Waits until the last tar, the index and the manifest are in the storage, without names yet.
    pub(super) async fn send_rest(&mut self) -> Result<()> {
        let Self { current, index, manifest, .. } = self;
        let tar = async {
            match current {
                Some(tar) => tar.upload.send_rest().await,
                None => Ok(()),
            }
        };
        let manifest = async {
            match manifest {
                Some(manifest) => manifest.send_rest().await,
                None => Ok(()),
            }
        };
        tokio::try_join!(tar, index.send_rest(), manifest).map(|_| ())
    }

    /// Fails unless the tars that got their names earlier still exist as they were stored.
    pub(super) async fn prove_named(&mut self) -> Result<()> {
        let Self { repository, named, .. } = self;
        let looks: Vec<_> = named.iter().map(|object| prove(repository, object).boxed()).collect();
        stream::iter(looks).buffer_unordered(LOOKS).try_collect().await
    }

    /// Gives the last tar its name, and those of the index and the manifest. Returns the entries for the commit record.
    pub(super) async fn finish(self) -> Result<Vec<RecordedObject>> {
        let Self { index, manifest, current, mut named, .. } = self;
        let tar = async {
            let Some(mut tar) = current else { return Ok(None) };
            let finished = tar.finish().await;
            if finished.is_err() {
                tar.upload.abort().await;
            }
            finished.map(Some)
        };
        let manifest = async {
            match manifest {
                Some(manifest) => manifest.finish().await.map(Some),
                None => Ok(None),
            }
        };
        // All run to their ends, even if one fails: a put that is still running would outlast the cleanup.
        let (tar, index, manifest) = tokio::join!(tar, index.finish(), manifest);
        named.extend(tar?);
        named.push(index?);
        named.extend(manifest?);
        Ok(named)
    }

    /// Abandons the current objects. Those with names are removed with the claim.
    pub(super) async fn abort(self) {
        let Self { index, manifest, current, .. } = self;
        if let Some(mut tar) = current {
            tar.upload.abort().await;
        }
        index.abort().await;
        if let Some(manifest) = manifest {
            manifest.abort().await;
        }
    }
}

impl Tar<'_> {
    /// Gives the object its name, durably, and returns its entry for the commit record.
    async fn finish(&mut self) -> Result<RecordedObject> {
        let recorded = self.upload.finish().await?;
        Ok(RecordedObject {
            tar_bytes: Some(self.tar_bytes),
            tablespace_location: self.tablespace.take().map(|space| space.location),
            ..recorded
        })
    }
}

/// Fails unless the object exists as it was stored.
async fn prove(repository: &Repository, object: &RecordedObject) -> Result<()> {
    let name = ObjectName::parse(&object.name);
    let stored = repository.size(&name).await?;
    if stored == Some(object.bytes) {
        return Ok(());
    }
    let found = stored.map_or("is missing".to_owned(), |bytes| format!("has {bytes} bytes"));
    let reason = format!(
        "{} bytes were stored, and now it {found}: another program writes to this repository",
        object.bytes
    );
    Err(Error::damaged(name, reason))
}

/// Returns the largest size of an object that is to have `bytes`. What the storage must be asked for matters from the
/// second part on.
async fn largest_object(repository: &Repository, name: &ObjectName, bytes: u64) -> Result<u64> {
    let storage = repository.storage();
    let declared = storage.limits();
    if bytes <= declared.part_bytes as u64 {
        return Ok(declared.largest_object());
    }
    let limits = storage.learned_limits().await.map_err(repository.failed("write", name))?;
    Ok(limits.largest_object())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use object_store::{PutMode, memory::InMemory};

    use super::*;
    use crate::{local::clock::SystemClock, storage::Storage};

    fn repository() -> Repository {
        Repository::new(Storage::new(Arc::new(InMemory::new())), "a test", Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn items_without_an_end_or_out_of_order_are_no_backup() {
        let repository = repository();
        let claim = Claim::take(&repository, Timestamp::UNIX_EPOCH).await.unwrap();
        let compressed = tokio::spawn(async { Ok(vec![0; 10]) });
        let frame = PendingFrame { compressed, tar_bytes: 10, members: Vec::new() };
        for (item, expected) in [
            (Item::Archive(None), "it broke off"),
            (Item::Frame(frame), "a frame arrived before its tar began"),
        ] {
            let (sender, items) = mpsc::channel(1);
            sender.send(item).await.unwrap();
            drop(sender);
            let mut uploads = Uploads::new(&repository, claim.key, Format::None);
            let error = uploads.store(items, &claim, &|_| {}).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            uploads.abort().await;
        }
    }

    #[tokio::test]
    async fn a_tar_that_changes_or_goes_before_the_commit_is_missed() {
        let repository = repository();
        let name = ObjectName::parse("pg_basebackup_20130828T1810Z.16400.tar");
        let (blake3, tar_bytes, tablespace_location) = (String::new(), Some(4), None);
        let object =
            RecordedObject { name: name.to_string(), bytes: 4, blake3, tar_bytes, tablespace_location };
        for (content, expected) in [
            (None, Some("now it is missing")),
            (Some("tar"), Some("now it has 3 bytes")),
            (Some("tar2"), None),
        ] {
            if let Some(content) = content {
                repository.put(&name, content.into(), PutMode::Overwrite).await.unwrap();
            }
            let error = prove(&repository, &object).await.err().map(|error| error.to_string());
            let is_expected =
                error.as_deref().zip(expected).is_some_and(|(error, part)| error.contains(part));
            assert!(is_expected || error.is_none() && expected.is_none(), "{content:?}: {error:?}");
        }
    }
}
