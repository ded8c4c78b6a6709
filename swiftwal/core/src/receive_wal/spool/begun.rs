//! Segments of which only the beginning is in the spool: the one that is being received, and what an earlier process left.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use swiftwal_postgres::{Lsn, SegmentName, SegmentSize, WalName};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Spool, sync_directory};
use crate::{
    error::{Error, Refusal, Result},
    local::{
        blocking::blocking,
        content::{Beginning, Fingerprint},
        staged_file::StagedFile,
    },
    repository::wal_received::ContentLength,
};

/// How much is read at once.
const PIECE_BYTES: usize = 256 << 10;

/// A segment that is being received.
#[derive(Debug)]
pub(in crate::receive_wal) struct BegunSegment {
    pub(in crate::receive_wal) name: SegmentName,
    path: PathBuf,
    file: Arc<File>,
    size: SegmentSize,
    /// How much of it was received and is on the disk.
    written: u64,
    /// What was received of it before.
    earlier: Option<Beginning>,
}

impl Spool {
    /// Begins a segment, over what an earlier stream received of it, with which it is compared. If there is more of the segment
    /// `parent`, in which its timeline branched off, it is compared with that, as far as its bytes belong to this timeline.
    pub(in crate::receive_wal) async fn begin(
        &self,
        name: SegmentName,
        size: SegmentSize,
        parent: Option<(SegmentName, u64)>,
    ) -> Result<BegunSegment> {
        let (path, directory) = (self.path_of(WalName::Partial(name)), self.directory.clone());
        let parent = parent.map(|(parent, bytes)| (self.path_of(WalName::Partial(parent)), bytes));
        blocking(move || {
            let open = || {
                let file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
                let file = Arc::new(file);
                let mut earlier = beginning_of(Arc::clone(&file))?;
                if let Some((parent, bytes)) = parent
                    && parent.try_exists()?
                {
                    let mut before = beginning_of(Arc::new(File::open(parent)?))?;
                    before.written = before.written.min(bytes);
                    earlier = if before.written > earlier.written { before } else { earlier };
                }
                // Then writing needn't make a new size durable.
                file.set_len(size.bytes())?;
                sync_directory(&directory)?;
                Ok((file, Some(earlier).filter(|earlier| earlier.written > 0)))
            };
            let (file, earlier) = open().map_err(Error::local("write", &path))?;
            Ok(BegunSegment { name, path, file, size, written: 0, earlier })
        })
        .await
    }

    /// Puts the beginning of a segment into the spool, as it was stored. Damaged content is left out, with a warning. `failed`
    /// returns the error for one of reading it.
    pub(in crate::receive_wal) async fn put_begun(
        &self,
        name: SegmentName,
        content: &mut (impl AsyncRead + Unpin),
        failed: impl Fn(io::Error) -> Error,
    ) -> Result<()> {
        let path = self.path_of(WalName::Partial(name));
        let file = blocking({
            let path = path.clone();
            move || StagedFile::for_target(&path).map_err(Error::local("write", path))
        });
        let mut file = file.await?;
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            match content.take(PIECE_BYTES as u64).read_to_end(&mut piece).await.map_err(&failed) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error @ Error::Damaged { .. }) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the stored beginning of {name} is replaced"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            let path = path.clone();
            file = blocking(move || {
                file.write_all(&piece).map_err(Error::local("write", path))?;
                Ok(file)
            })
            .await?;
        }
        blocking(move || file.publish_durably().map(drop).map_err(Error::local("write", path))).await
    }

    /// Opens a segment that was begun: its content is what was received, with zeros up to its size.
    pub(in crate::receive_wal) async fn open_begun(&self, name: SegmentName) -> Result<Beginning> {
        let path = self.path_of(WalName::Partial(name));
        blocking(move || {
            let open = || beginning_of(Arc::new(File::open(&path)?));
            open().map_err(Error::local("read", &path))
        })
        .await
    }

    /// Returns the state of a segment that was begun, without reading it. None if there is none.
    pub(in crate::receive_wal) async fn fingerprint(&self, name: SegmentName) -> Result<Option<Fingerprint>> {
        let path = self.path_of(WalName::Partial(name));
        blocking(move || match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            found => found.map(|found| Some(Fingerprint::of(&found))).map_err(Error::local("read", &path)),
        })
        .await
    }

    /// Gives a complete segment its name, durably.
    pub(in crate::receive_wal) async fn complete_segment(&self, segment: BegunSegment) -> Result<()> {
        let BegunSegment { name, path, file, .. } = segment;
        let (target, directory) = (self.path_of(WalName::Segment(name)), self.directory.clone());
        blocking(move || {
            let complete = || {
                file.sync_all()?;
                rustix::fs::rename(&path, &target)?;
                sync_directory(&directory)
            };
            complete().map_err(Error::local("write", &target))
        })
        .await
    }
}

impl BegunSegment {
    /// Appends `pieces`, which must fit. They are on the disk when it returns.
    ///
    /// # Errors
    ///
    /// [`Refusal::AnotherWal`] if they differ from what was received before. Nothing was written then.
    pub(in crate::receive_wal) async fn append(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        let (file, path, start) = (Arc::clone(&self.file), self.path.clone(), self.written);
        let (earlier, segment, size) = (self.earlier.clone(), self.name, self.size);
        let end = blocking(move || {
            let failed = Error::local("write", &path);
            if let Some(earlier) = earlier {
                let difference = difference(&earlier, &pieces, start).map_err(Error::local("read", &path))?;
                if let Some(offset) = difference {
                    let at = segment.start(size).map_or(Lsn(0), |begin| Lsn(begin.0 + offset));
                    return Err(Refusal::AnotherWal { segment, at }.into());
                }
            }
            let write = || {
                let mut position = start;
                for piece in &pieces {
                    file.write_all_at(piece, position)?;
                    position += piece.len() as u64;
                }
                file.sync_data()?;
                Ok(position)
            };
            write().map_err(failed)
        });
        self.written = end.await?;
        Ok(())
    }

    /// Returns how many bytes are missing.
    pub(in crate::receive_wal) fn missing(&self) -> u64 {
        self.size.bytes().saturating_sub(self.written)
    }

    /// Returns what was received so far.
    pub(in crate::receive_wal) fn beginning(&self) -> Beginning {
        Beginning { file: Arc::clone(&self.file), written: self.written, bytes: self.size.bytes() }
    }
}

/// Returns the content of a file without the zeros at its end.
pub(super) fn beginning_of(file: Arc<File>) -> io::Result<Beginning> {
    let bytes = file.metadata()?.len();
    let mut beginning = Beginning { file, written: bytes, bytes };
    let (mut piece, mut length) = (vec![0; PIECE_BYTES], ContentLength::default());
    loop {
        match beginning.read_at(&mut piece, length.read)? {
            0 => break,
            read => length.add(&piece[..read]),
        }
    }
    beginning.written = length.without_zeros;
    Ok(beginning)
}

/// Returns where the pieces, which begin at `start`, differ from the earlier content. Zeros there differ from nothing: a
/// crash of the machine may have left out what wasn't reported.
fn difference(earlier: &Beginning, pieces: &[Bytes], start: u64) -> io::Result<Option<u64>> {
    let mut position = start;
    let mut before = Vec::new();
    for piece in pieces {
        let mut rest = &piece[..];
        while !rest.is_empty() && position < earlier.written {
            before.resize(rest.len(), 0);
            let read = earlier.read_at(&mut before, position)?;
            let mut pairs = before[..read].iter().zip(rest);
            if let Some(at) = pairs.position(|(before, now)| before != now && *before != 0) {
                return Ok(Some(position + at as u64));
            }
            position += read as u64;
            rest = &rest[read..];
        }
    }
    Ok(None)
}
