//! Brings a backup's tars back: frames in parallel where there is an index, else from front to back.

mod frames;
mod hashed;

use bytes::Bytes;
use swiftwal_compression::{Format, decoder};
use tokio::{
    io::{AsyncReadExt, BufReader},
    sync::mpsc,
};
use tokio_util::io::StreamReader;

use self::hashed::Hashed;
use super::{ChosenBackup, Observe, RestoreEvent};
use crate::{
    BackupPart, Error, ObjectName, RecordedObject, Repository, Result,
    index::{self, Frame, Index},
    layout::SIDE_FORMAT,
};

/// How many decompressed pieces wait for the writer at most.
pub(super) const PIECES_WAITING: usize = 3;
/// The pieces of a tar that is read from front to back.
const PIECE_BYTES: usize = 1 << 20;

/// A tar as it is stored.
#[derive(Debug)]
pub(super) struct StoredTar {
    name: ObjectName,
    format: Format,
    pub(super) tablespace: Option<u32>,
    /// What is known of it from the commit record.
    recorded: Option<RecordedObject>,
    pub(super) tar_bytes: Option<u64>,
    frames: Option<Vec<Frame>>,
}

/// The tars of a backup: that of the data directory first.
pub(super) async fn tars(
    repository: &Repository,
    chosen: &ChosenBackup,
    observe: Observe<'_>,
) -> Result<Vec<StoredTar>> {
    let Some(record) = &chosen.record else {
        let name = chosen.legacy_object();
        let legacy = StoredTar {
            name,
            format: Format::Gzip,
            tablespace: None,
            recorded: None,
            tar_bytes: None,
            frames: None,
        };
        return Ok(vec![legacy]);
    };
    let mut index = match read_index(repository, &record.objects).await {
        Ok(index) => Some(index),
        Err(error) => {
            observe(RestoreEvent::Notice(&format!(
                "restoring without the backup's index, more slowly: {error}"
            )));
            None
        }
    };
    let mut tars: Vec<_> =
        record.objects.iter().filter_map(|object| stored_tar(object, index.as_mut())).collect();
    tars.sort_by_key(|tar| tar.tablespace);
    Ok(tars)
}

fn stored_tar(object: &RecordedObject, index: Option<&mut Index>) -> Option<StoredTar> {
    let BackupPart::Tar { tablespace, format } = object.part()? else { return None };
    let frames = index.and_then(|index| index.remove(&object.name)).filter(|frames| covers(frames, object));
    Some(StoredTar {
        name: ObjectName::parse(&object.name),
        format,
        tablespace,
        recorded: Some(object.clone()),
        tar_bytes: object.tar_bytes,
        frames,
    })
}

/// Whether the frames are each byte of `object`.
fn covers(frames: &[Frame], object: &RecordedObject) -> bool {
    let end = frames.iter().try_fold(0, |end, frame| (frame.offset == end).then(|| end + frame.stored_bytes));
    end == Some(object.bytes)
}

/// The frames of each tar, if the index is what was stored.
async fn read_index(repository: &Repository, objects: &[RecordedObject]) -> Result<Index> {
    let recorded = objects.iter().find(|object| object.part() == Some(BackupPart::Index));
    let Some(recorded) = recorded else { return Err(Error::damaged("the backup", "it has no index")) };
    let name = ObjectName::parse(&recorded.name);
    let Some(object) = repository.open(&name).await? else { return Err(repository.missing(name)) };
    let mut hashed = Hashed::default();
    let stored = hashed.pass(object.into_stream());
    let lines = BufReader::new(decoder(SIDE_FORMAT, StreamReader::new(stored)));
    let index = index::read(lines).await.map_err(|error| repository.unreadable(&name, error))?;
    hashed.check(recorded)?;
    Ok(index)
}

/// Sends the tar, in order, to `pieces`. When it returns, either every byte of the object was proven to be what was
/// stored, or the receiver had given up.
pub(super) async fn fetch(
    repository: &Repository,
    mut tar: StoredTar,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    match tar.frames.take() {
        Some(frames) => frames::fetch_frames(repository, &tar, frames, pieces, progress).await,
        None => fetch_stream(repository, &tar, pieces, progress).await,
    }
}

async fn fetch_stream(
    repository: &Repository,
    tar: &StoredTar,
    pieces: mpsc::Sender<Bytes>,
    progress: &(dyn Fn() + Send + Sync),
) -> Result<()> {
    let Some(object) = repository.open(&tar.name).await? else {
        return Err(repository.missing(&tar.name));
    };
    let expected = object.meta.size;
    let mut hashed = Hashed::default();
    let stored = hashed.pass(object.into_stream());
    let mut reader = decoder(tar.format, StreamReader::new(stored));
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut reader).take(PIECE_BYTES as u64).read_to_end(&mut piece).await;
        if read.map_err(|error| repository.unreadable(&tar.name, error))? == 0 {
            break;
        }
        if pieces.send(piece.into()).await.is_err() {
            return Ok(());
        }
        progress();
    }
    drop(reader);
    match &tar.recorded {
        Some(recorded) => hashed.check(recorded),
        None if hashed.bytes == expected => Ok(()),
        None => Err(Error::damaged(&tar.name, format!("{} of its {expected} bytes came", hashed.bytes))),
    }
}
