//! Divides a tar into chunks, before the content of the files is read.
//!
//! A file's size is that at the moment when it is opened: then the place of everything in the tar is known, and several
//! chunks can be read at the same time. All chunks but those with many small files end at multiples of [`CHUNK_BYTES`],
//! which is how the tar is cut into frames: such a chunk is compressed without being copied.

use std::{
    fs::File,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use rustix::fs::{Advice, Mode, OFlags, fadvise};

use super::{
    failure::{shown, unexpected, unreadable},
    tar_header::{Attributes, END_BYTES, Kind, header, padding},
    walk::{Entry, EntryKind, Tree, existing, walk},
};
use crate::{CHUNK_BYTES, SourceError};

/// The most files in a chunk: an open file counts towards a limit of the process, usually 1024.
const MOST_FILES: usize = 96;

/// Larger files are read piece by piece, and what is read ahead beyond a piece would count as having been in the
/// cache.
const READ_AT_ONCE_BYTES: u64 = 128 << 10;

/// A file of the backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Its name in the cluster.
    pub(super) name: PathBuf,
    pub(super) bytes: u64,
    /// In seconds since 1970.
    pub(super) modified: u64,
    /// For the file of a relation, the number of its segment.
    pub(super) segment: Option<u32>,
}

/// A piece of the tar.
#[derive(Debug)]
pub(super) enum Piece {
    Bytes(Bytes),
    Zeros(usize),
    File(FilePiece),
}

/// A piece of a file's content.
#[derive(Debug)]
pub(super) struct FilePiece {
    pub(super) member: Arc<Member>,
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) bytes: usize,
}

/// What a chunk consists of: at most [`CHUNK_BYTES`].
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) pieces: Vec<Piece>,
    pub(super) bytes: usize,
    files: usize,
    /// Files and other things that can't be in the backup.
    pub(super) skipped: Vec<PathBuf>,
}

/// Opens a file. What has become a link in the meantime could lead out of the directory, and is an error; what has become
/// a pipe doesn't block.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// Plans one tar, or a part of one.
pub(super) struct Planner<'a> {
    current: Plan,
    /// How much of the tar the earlier chunks contain.
    position: u64,
    send: &'a mut dyn FnMut(Plan) -> Result<(), SourceError>,
}

impl<'a> Planner<'a> {
    /// Begins at `position` of a tar. Complete plans are passed to `send`.
    pub(super) fn new(position: u64, send: &'a mut dyn FnMut(Plan) -> Result<(), SourceError>) -> Self {
        Self { current: Plan::default(), position, send }
    }

    /// Adds all of a tree.
    pub(super) fn tree(&mut self, tree: &Tree) -> Result<(), SourceError> {
        walk(tree, &mut |entry| self.entry(tree, entry))
    }

    /// Adds the end of the tar.
    pub(super) fn end(&mut self) -> Result<(), SourceError> {
        self.zeros(END_BYTES)
    }

    /// Sends the last plan.
    pub(super) fn finish(mut self) -> Result<(), SourceError> {
        self.send()
    }

    fn entry(&mut self, tree: &Tree, entry: Entry) -> Result<(), SourceError> {
        let name = &entry.name;
        match entry.kind {
            EntryKind::Directory => {
                let attributes = Attributes::new(Kind::Directory, &entry.metadata);
                self.header(name, attributes)
            }
            EntryKind::File { segment } => {
                let path = tree.directory.join(name);
                // One that has vanished is left out.
                self.file(name, &path, tree.prefix.join(name), segment).map(drop)
            }
            EntryKind::Other => {
                self.current.skipped.push(tree.prefix.join(name));
                Ok(())
            }
        }
    }

    /// Adds a file, and returns whether it exists. Its name in the cluster may differ from that in the tar.
    pub(super) fn file(
        &mut self,
        name: &Path,
        path: &Path,
        cluster_name: PathBuf,
        segment: Option<u32>,
    ) -> Result<bool, SourceError> {
        let unreadable = |error| unreadable(path, error);
        let Some(file) = existing(open(path)).map_err(unreadable)? else { return Ok(false) };
        let metadata = file.metadata().map_err(unreadable)?;
        let bytes = metadata.len();
        if bytes > READ_AT_ONCE_BYTES {
            // Only advice: without it, more of the cache is used.
            let _ = fadvise(&file, 0, None, Advice::Random);
        }
        let attributes = Attributes::new(Kind::File { bytes }, &metadata);
        self.header(name, attributes)?;
        let member = Member { name: cluster_name, bytes, modified: attributes.modified, segment };
        self.content(Arc::new(member), Arc::new(file))?;
        self.zeros(padding(bytes))?;
        Ok(true)
    }

    /// Adds a file whose content is in memory; the size of `attributes` is replaced.
    pub(super) fn small(
        &mut self,
        name: &str,
        content: Bytes,
        attributes: Attributes,
    ) -> Result<(), SourceError> {
        let bytes = content.len() as u64;
        self.header(Path::new(name), Attributes { kind: Kind::File { bytes }, ..attributes })?;
        self.bytes(content)?;
        self.zeros(padding(bytes))
    }

    fn header(&mut self, name: &Path, attributes: Attributes) -> Result<(), SourceError> {
        let header = header(name.as_os_str().as_bytes(), attributes);
        let header = header.map_err(|error| unexpected(format!("{}: {error}", shown(name))))?;
        self.bytes(Bytes::copy_from_slice(&header))
    }

    fn bytes(&mut self, mut bytes: Bytes) -> Result<(), SourceError> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(self.room()));
            let length = piece.len();
            self.add(Piece::Bytes(piece), length)?;
        }
        Ok(())
    }

    fn zeros(&mut self, bytes: usize) -> Result<(), SourceError> {
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(self.room());
            left -= piece;
            self.add(Piece::Zeros(piece), piece)?;
        }
        Ok(())
    }

    /// Even an empty file has a piece, with which it ends.
    fn content(&mut self, member: Arc<Member>, file: Arc<File>) -> Result<(), SourceError> {
        if self.current.files == MOST_FILES {
            self.send()?;
        }
        let mut offset = 0;
        loop {
            let left = usize::try_from(member.bytes - offset).unwrap_or(usize::MAX);
            let bytes = left.min(self.room());
            let piece = FilePiece { member: Arc::clone(&member), file: Arc::clone(&file), offset, bytes };
            self.current.files += 1;
            self.add(Piece::File(piece), bytes)?;
            offset += bytes as u64;
            if offset == member.bytes {
                return Ok(());
            }
        }
    }

    fn add(&mut self, piece: Piece, bytes: usize) -> Result<(), SourceError> {
        self.current.pieces.push(piece);
        self.current.bytes += bytes;
        if self.room() == CHUNK_BYTES { self.send() } else { Ok(()) }
    }

    /// Returns how much fits until the next multiple of [`CHUNK_BYTES`]: never 0.
    fn room(&self) -> usize {
        let position = self.position + self.current.bytes as u64;
        CHUNK_BYTES - usize::try_from(position % CHUNK_BYTES as u64).unwrap_or_default()
    }

    fn send(&mut self) -> Result<(), SourceError> {
        let plan = std::mem::take(&mut self.current);
        self.position += plan.bytes as u64;
        if plan.pieces.is_empty() && plan.skipped.is_empty() { Ok(()) } else { (self.send)(plan) }
    }
}
