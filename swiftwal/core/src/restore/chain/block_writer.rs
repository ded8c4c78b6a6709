//! Writes the blocks of a stored file, which arrives in pieces, to their places in the complete file.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use swiftwal_postgres::incremental_file::{
    BLOCK_BYTES, HeaderReader, IncrementalFileError, IncrementalHeader, MOST_BLOCKS, Run,
};
use thiserror::Error;

use super::{
    changed_file::ChangedFile,
    changed_files::{ChangedFiles, CompleteFile, FileName},
};
use crate::repository::manifest::Algorithm;

/// Writes one stored file.
#[derive(Debug)]
pub(in crate::restore) struct BlockWriter {
    /// The complete file.
    file: File,
    name: FileName,
    files: Arc<ChangedFiles>,
    source: Source,
    /// None until the header of the newest backup's file has arrived.
    changed: Option<ChangedFile>,
    role: Role,
}

/// What the stored file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It is the newest backup's: it gives the complete file its size, and blocks.
    Newest,
    /// As the newest backup's, but only the size is wanted.
    Size,
    /// It is an older backup's, and gives blocks that are missing.
    Older,
}

/// The stored file.
#[derive(Debug)]
enum Source {
    /// An incremental file, whose header is read.
    Header(HeaderReader),
    /// The blocks of an incremental file. The position counts from the first one.
    Blocks { header: IncrementalHeader, position: u64 },
    /// A complete file.
    Complete { bytes: u64, position: u64 },
}

/// Why blocks couldn't be written.
#[derive(Debug, Error)]
pub(in crate::restore) enum WriteBlocksError {
    #[error(transparent)]
    Invalid(#[from] IncrementalFileError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl BlockWriter {
    /// Begins with an incremental file of the newest backup, of `bytes` bytes. `file` is empty.
    pub(in crate::restore) fn newest(
        file: File,
        name: FileName,
        files: Arc<ChangedFiles>,
        bytes: u64,
    ) -> Self {
        let source = Source::Header(HeaderReader::new(bytes));
        Self { file, name, files, source, changed: None, role: Role::Newest }
    }

    /// As [`newest`](Self::newest), but `file` gets only its size.
    pub(in crate::restore) fn size(file: File, name: FileName, files: Arc<ChangedFiles>, bytes: u64) -> Self {
        Self { role: Role::Size, ..Self::newest(file, name, files, bytes) }
    }

    /// Begins with a file of an older backup, of `bytes` bytes. `file` has the blocks that `changed` has found.
    pub(in crate::restore) fn older(
        file: File,
        (name, changed): (FileName, ChangedFile),
        files: Arc<ChangedFiles>,
        bytes: u64,
        is_incremental: bool,
    ) -> Self {
        let source = if is_incremental {
            Source::Header(HeaderReader::new(bytes))
        } else {
            Source::Complete { bytes, position: 0 }
        };
        Self { file, name, files, source, changed: Some(changed), role: Role::Older }
    }

    /// Takes the next bytes of the stored file.
    pub(in crate::restore) fn write(&mut self, mut data: &[u8]) -> Result<(), WriteBlocksError> {
        if let Source::Header(reader) = &mut self.source {
            let Some(header) = reader.push(&mut data)? else { return Ok(()) };
            self.begin_blocks(header)?;
        }
        while !data.is_empty() {
            let (bytes, place) = self.next(data.len());
            let (piece, rest) = data.split_at(bytes);
            if let Some(place) = place {
                self.file.write_all_at(piece, place)?;
            }
            data = rest;
        }
        Ok(())
    }

    fn begin_blocks(&mut self, header: IncrementalHeader) -> io::Result<()> {
        if self.role != Role::Older {
            let changed = ChangedFile::new(&header);
            self.file.set_len(changed.complete_bytes())?;
            self.changed = Some(changed).filter(|_| self.role == Role::Newest);
        }
        self.source = Source::Blocks { header, position: 0 };
        Ok(())
    }

    /// Returns how many of the next `most` bytes have the same fate, and their place in the complete file if they are
    /// written.
    fn next(&mut self, most: usize) -> (usize, Option<u64>) {
        let Some(changed) = &mut self.changed else { return (most, None) };
        let (run, position, is_incremental) = match &mut self.source {
            Source::Blocks { header, position } => (header.run(*position, most as u64), position, true),
            Source::Complete { bytes, position } => {
                (complete_run(*bytes, *position, most as u64), position, false)
            }
            Source::Header(_) => return (most, None),
        };
        let Some(Run { blocks, bytes }) = run else {
            *position += most as u64;
            return (most, None);
        };
        let (count, is_wanted) = if self.role == Role::Newest {
            (blocks.len() as u32, true)
        } else {
            changed.wanted(blocks.clone())
        };
        let end = u64::from(blocks.start + count) * BLOCK_BYTES;
        let length = usize::try_from(end - bytes.start).unwrap_or(usize::MAX).min(most);
        *position += length as u64;
        if is_wanted && is_incremental {
            // A block whose end hasn't arrived is still wanted.
            let ended = (bytes.start + length as u64) / BLOCK_BYTES;
            changed.set_found(blocks.start..ended as u32);
        }
        (length, is_wanted.then_some(bytes.start))
    }

    /// Ends the stored file. `checksum` is that of its content, if it is known.
    pub(in crate::restore) fn end(
        self,
        checksum: Option<(Algorithm, Vec<u8>)>,
    ) -> Result<(), WriteBlocksError> {
        let Self { source, changed, name, files, role, .. } = self;
        match (source, changed) {
            (Source::Header(reader), _) => return Err(reader.cut().into()),
            (Source::Blocks { .. }, Some(changed)) if role == Role::Newest => files.add(name, changed),
            (Source::Blocks { .. }, Some(changed)) => files.put_back(&name, changed),
            (Source::Complete { bytes: stored, .. }, Some(changed)) => {
                let checksum = checksum.filter(|_| changed.is_copy_of(stored));
                files.complete(&name, CompleteFile { bytes: changed.complete_bytes(), checksum });
            }
            (_, None) => {}
        }
        Ok(())
    }
}

/// Returns the blocks of a complete file that contain the next `most` bytes from `position` on. As PostgreSQL does it,
/// half a block at its end doesn't count.
fn complete_run(bytes: u64, position: u64, most: u64) -> Option<Run> {
    let behind = (position + most).div_ceil(BLOCK_BYTES).min(bytes / BLOCK_BYTES);
    let behind = u32::try_from(behind).unwrap_or(u32::MAX).min(MOST_BLOCKS);
    let first = u32::try_from(position / BLOCK_BYTES).ok().filter(|first| *first < behind)?;
    Some(Run { blocks: first..behind, bytes: position..u64::from(behind) * BLOCK_BYTES })
}
