//! Fetches a backup's tars: frames in parallel if there is an index, otherwise from front to back.

mod buffers;
mod frames;
mod hashed;
mod parse;
mod selected;
mod stream;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use swiftwal_compression::{Format, decoder};
use tokio::{io::BufReader, sync::mpsc};
use tokio_util::io::StreamReader;

use self::stream::fetch_stream;
pub(crate) use self::{
    buffers::{ALIGNMENT, Buffers},
    hashed::Hashed,
    parse::parse,
    selected::{SelectedFrames, fetch_selected},
};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        index::{self, Index, IndexedTar},
        indexed_members::{IndexText, IndexedMembers},
        layout::{BackupPart, ObjectName, SIDE_FORMAT},
        object_pieces,
        record::RecordedObject,
    },
};

/// The largest number of decompressed pieces that wait for the writer.
pub(crate) const PIECES_WAITING: usize = 3;

/// A stored tar: one object, or several in order.
#[derive(Debug)]
pub(crate) struct StoredTar {
    /// The tablespace whose directory it belongs into; none for the data directory.
    pub(crate) tablespace: Option<u32>,
    /// What the names of its members are prefixed with: `pg_tblspc/16400/` for an in-place tablespace, otherwise nothing.
    pub(crate) prefix: Vec<u8>,
    pub(crate) pieces: Vec<TarPiece>,
    /// Its members by the index; none without an index that fits all of it.
    pub(crate) members: Option<IndexedMembers>,
}

impl StoredTar {
    /// Returns the size of the uncompressed tar, if it is known.
    pub(crate) fn tar_bytes(&self) -> Option<u64> {
        self.pieces.iter().map(|piece| piece.tar_bytes).sum()
    }

    /// Returns the names of its objects, each with the size of its part of the tar, if that is known.
    pub(crate) fn objects(&self) -> Vec<(String, Option<u64>)> {
        self.pieces.iter().map(|piece| (piece.name.to_string(), piece.tar_bytes)).collect()
    }

    /// Returns the name of its first object.
    pub(crate) fn name(&self) -> String {
        self.pieces.first().map(|piece| piece.name.to_string()).unwrap_or_default()
    }
}

/// An object of a tar.
#[derive(Debug)]
pub(crate) struct TarPiece {
    name: ObjectName,
    format: Format,
    /// Its entry in the commit record.
    recorded: Option<RecordedObject>,
    tar_bytes: Option<u64>,
    /// What the index says about it.
    indexed: Option<IndexedTar>,
}

/// The index of a backup, and its text, which is on disk.
pub(crate) type StoredIndex = (Index, Arc<IndexText>);

/// What is wrong with a backup's index, so that data is read without it, more slowly.
#[derive(Clone, Copy, Debug)]
pub(crate) enum IndexFault<'a> {
    /// It can't be used at all.
    Unusable(&'a Error),
    /// It doesn't describe all of this object.
    Incomplete(&'a str),
    /// This object doesn't consist of its frames. The rest of the object is read without the index, behind so many bytes of
    /// tar.
    Wrong { object: &'a ObjectName, error: &'a Error, tar_bytes: u64 },
}

/// Receives what is wrong with an index.
pub(crate) type NoteIndex<'a> = &'a (dyn Fn(IndexFault<'_>) + Send + Sync);

/// Reads the index of a backup, or reports why it isn't used. The text is kept in a file without a name in `directory`.
pub(crate) async fn index_if_usable(
    repository: &Repository,
    chosen: &ChosenBackup,
    directory: &Path,
    note: NoteIndex<'_>,
) -> Result<Option<StoredIndex>> {
    if chosen.record.is_none() {
        return Ok(None);
    }
    match index(repository, chosen, directory).await {
        Ok(index) => Ok(Some(index)),
        Err(error @ Error::Local { .. }) => Err(error),
        Err(error) => {
            note(IndexFault::Unusable(&error));
            Ok(None)
        }
    }
}

/// Reads the index of a backup. The text is kept in a file without a name in `directory`.
pub(crate) async fn index(
    repository: &Repository,
    chosen: &ChosenBackup,
    directory: &Path,
) -> Result<StoredIndex> {
    let objects = chosen.record.as_ref().map(|record| record.objects.as_slice()).unwrap_or_default();
    let (index, text) = read_index(repository, objects, directory).await?;
    Ok((index, Arc::new(text)))
}

/// Returns the tars of a backup, the data directory's first, with what the index says about them.
pub(crate) fn tars(chosen: &ChosenBackup, index: Option<StoredIndex>, note: NoteIndex<'_>) -> Vec<StoredTar> {
    let Some(record) = &chosen.record else {
        let name = chosen.legacy_object();
        let legacy = TarPiece { name, format: Format::Gzip, recorded: None, tar_bytes: None, indexed: None };
        return vec![StoredTar { tablespace: None, prefix: Vec::new(), pieces: vec![legacy], members: None }];
    };
    let (mut index, text) = index.unzip();
    let has_index = index.is_some();
    let mut tars: BTreeMap<Option<u32>, BTreeMap<u32, TarPiece>> = BTreeMap::new();
    for object in &record.objects {
        let Some(BackupPart::Tar { tablespace, piece, format }) = object.part() else { continue };
        let indexed = index.as_mut().and_then(|index| index.remove(&object.name));
        if has_index && indexed.is_none() {
            note(IndexFault::Incomplete(&object.name));
        }
        let stored = TarPiece {
            name: ObjectName::parse(&object.name),
            format,
            recorded: Some(object.clone()),
            tar_bytes: object.tar_bytes,
            indexed,
        };
        tars.entry(tablespace).or_default().insert(piece, stored);
    }
    let tars = tars.into_iter();
    tars.map(|(tablespace, pieces)| {
        let pieces: Vec<_> = pieces.into_values().collect();
        let parts = pieces.iter().map(|piece| Some(piece.indexed.as_ref()?.text.clone())).collect();
        let in_place = pieces.iter().find_map(|piece| piece.recorded.as_ref()?.in_place_directory());
        let prefix = in_place.map(|directory| [directory.as_bytes(), b"/"].concat());
        let tablespace = tablespace.filter(|_| prefix.is_none());
        let prefix = prefix.unwrap_or_default();
        let members =
            text.clone().zip(parts).map(|(text, parts)| IndexedMembers::new(text, parts, prefix.clone()));
        StoredTar { tablespace, prefix, pieces, members }
    })
    .collect()
}

/// Reads the index, which is verified by the commit record, and keeps its text on disk.
async fn read_index(
    repository: &Repository,
    objects: &[RecordedObject],
    directory: &Path,
) -> Result<(Index, IndexText)> {
    let recorded = objects.iter().find(|object| object.part() == Some(BackupPart::Index));
    let Some(recorded) = recorded else { return Err(Error::damaged("the backup", "it has no index")) };
    let name = ObjectName::parse(&recorded.name);
    let Some(object) = repository.open(&name).await? else { return Err(repository.missing(name)) };
    let mut hashed = Hashed::default();
    let stored = hashed.pass(object_pieces(object));
    let lines = BufReader::new(decoder(SIDE_FORMAT, StreamReader::new(stored)));
    let mut text = IndexText::new(directory).map_err(Error::local("write", directory))?;
    let mut unwritable = None;
    let keep = |line: &[u8]| {
        text.add(line).map_err(|error| {
            let kind = error.kind();
            unwritable = Some(error);
            kind.into()
        })
    };
    let index = index::read(lines, objects, keep).await;
    if let Some(error) = unwritable {
        return Err(Error::local("write", directory)(error));
    }
    let index = index.map_err(|error| repository.unreadable(&name, error))?;
    hashed.check(recorded)?;
    Ok((index, text))
}

/// Sends the tar, in order, to `pieces`. When it returns, either every byte of its objects was verified, or the
/// receiver had stopped early.
///
/// If the index turns out to be wrong, the rest is read without it.
pub(crate) async fn fetch(
    repository: &Repository,
    tar: StoredTar,
    pieces: mpsc::Sender<Bytes>,
    buffers: &Buffers,
    progress: &(dyn Fn() + Send + Sync),
    note: NoteIndex<'_>,
) -> Result<()> {
    for piece in tar.pieces {
        let pieces = Pieces { sender: pieces.clone(), buffers: buffers.clone(), sent_bytes: 0, progress };
        if !fetch_piece(repository, piece, pieces, note).await? {
            break;
        }
    }
    Ok(())
}

/// Sends one object of a tar. Returns whether the receiver took it to its end.
async fn fetch_piece(
    repository: &Repository,
    mut tar: TarPiece,
    mut pieces: Pieces<'_>,
    note: NoteIndex<'_>,
) -> Result<bool> {
    let mut hashed = Hashed::default();
    let Some(IndexedTar { frames, .. }) = tar.indexed.take() else {
        return fetch_stream(repository, &tar, &mut pieces, hashed).await;
    };
    match frames::fetch_frames(repository, &tar, frames, &mut pieces, &mut hashed).await {
        Ok(true) => tar.check(&hashed).map(|()| true),
        Ok(false) => Ok(false),
        Err(error @ Error::Damaged { .. }) => {
            note(IndexFault::Wrong { object: &tar.name, error: &error, tar_bytes: pieces.sent_bytes });
            fetch_stream(repository, &tar, &mut pieces, hashed.once_more()).await
        }
        Err(error) => Err(error),
    }
}

/// The receiver of a tar's pieces.
struct Pieces<'a> {
    sender: mpsc::Sender<Bytes>,
    buffers: Buffers,
    sent_bytes: u64,
    progress: &'a (dyn Fn() + Send + Sync),
}

impl Pieces<'_> {
    /// Sends a piece. Returns whether the receiver still wanted it.
    async fn send(&mut self, piece: Bytes) -> bool {
        self.sent_bytes += piece.len() as u64;
        let is_wanted = self.sender.send(piece).await.is_ok();
        if is_wanted {
            (self.progress)();
        }
        is_wanted
    }
}

impl TarPiece {
    /// Verifies what was read by the entry in the commit record, if there is one.
    fn check(&self, hashed: &Hashed) -> Result<()> {
        self.recorded.as_ref().map_or(Ok(()), |recorded| hashed.check(recorded))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{PutMode, memory::InMemory};

    use super::*;
    use crate::{
        local::clock::SystemClock,
        repository::index::Frame,
        storage::{Limits, Storage},
    };

    const TAR: &[u8] = b"0123456789";

    fn repository() -> Repository {
        let limits = Limits { part_bytes: 1, ..Limits::default() };
        let storage = Storage::new(Arc::new(InMemory::new())).with_limits(limits);
        Repository::new(storage, "memory", Arc::new(SystemClock))
    }

    /// Returns a tar with an index whose frames have one byte each; the last one is longer than the object.
    fn tar_with_a_wrong_index() -> TarPiece {
        let name = ObjectName::parse("pg_basebackup_20130828T1810Z.tar");
        let recorded = RecordedObject {
            name: name.to_string(),
            bytes: TAR.len() as u64,
            blake3: blake3::hash(TAR).to_hex().to_string(),
            tar_bytes: Some(TAR.len() as u64),
            tablespace_location: None,
        };
        let mut frames: Vec<_> =
            (0..10).map(|offset| Frame { offset, stored_bytes: 1, tar_bytes: 1 }).collect();
        frames.push(Frame { offset: 9, stored_bytes: 4, tar_bytes: 4 });
        TarPiece {
            name,
            format: Format::None,
            recorded: Some(recorded),
            tar_bytes: Some(TAR.len() as u64),
            indexed: Some(IndexedTar { frames, text: 0..0 }),
        }
    }

    /// Returns what is fetched if the object contains `first` until its first piece has been read, and `TAR`
    /// afterwards.
    async fn fetched(first: &'static [u8]) -> Result<Vec<u8>> {
        let (repository, tar) = (repository(), tar_with_a_wrong_index());
        let name = tar.name.clone();
        repository.put(&name, first.into(), PutMode::Overwrite).await?;
        let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
        let received = async {
            let mut received = Vec::new();
            while let Some(piece) = receiver.recv().await {
                received.extend_from_slice(&piece);
                drop(repository.put(&name, TAR.into(), PutMode::Overwrite).await);
            }
            received
        };
        let pieces = Pieces { sender, buffers: Buffers::new(), sent_bytes: 0, progress: &|| {} };
        let (outcome, received) = tokio::join!(fetch_piece(&repository, tar, pieces, &|_| {}), received);
        outcome.map(|_| received)
    }

    #[tokio::test]
    async fn nothing_more_is_fetched_once_the_receiver_has_given_up() {
        let (repository, first) = (repository(), tar_with_a_wrong_index());
        repository.put(&first.name, TAR.into(), PutMode::Overwrite).await.unwrap();
        let name = ObjectName::parse("pg_basebackup_20130828T1810Z.tar.0002");
        let missing = TarPiece { name, indexed: None, ..tar_with_a_wrong_index() };
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        let pieces = vec![first, missing];
        let tar = StoredTar { tablespace: None, prefix: Vec::new(), pieces, members: None };
        fetch(&repository, tar, sender, &Buffers::new(), &|| {}, &|_| {}).await.unwrap();
    }

    #[tokio::test]
    async fn what_was_sent_before_the_index_was_given_up_is_compared_with_what_is_read_then() {
        assert_eq!(fetched(TAR).await.unwrap(), TAR);
        let error = fetched(b"x123456789").await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}
