//! Writes files piece by piece, and compares each with its hash.

use std::{fs::File, io::Write};

use bytes::Bytes;
use swiftwal_postgres::printable;

use super::places::Places;
use crate::{
    error::Error,
    restore::manifest::{Checksum, FileSum, RestoredFiles},
};

/// What a file without content counts as, to compare queues: creating one takes about as long as writing this much.
const EMPTY_BYTES: usize = 16 << 10;

/// So much is in the processor's cache from one checksum to the next.
const CACHED_BYTES: usize = 256 << 10;

/// A file that is created.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    /// The hash of its content, if it is known.
    pub(super) expected: Option<blake3::Hash>,
}

/// The next piece of a file.
#[derive(Debug)]
pub(super) struct FilePiece {
    /// The file, with its first piece.
    pub(super) begins: Option<NewFile>,
    pub(super) data: Bytes,
    /// Whether this is its last piece.
    pub(super) is_last: bool,
}

impl FilePiece {
    /// The work for it, to compare queues.
    pub(super) fn weight(&self) -> usize {
        self.data.len() + if self.begins.is_some() { EMPTY_BYTES } else { 0 }
    }
}

/// Writes one file after another.
#[derive(Debug)]
pub(super) struct FileWriter {
    places: Places,
    current: Option<OpenFile>,
    /// The hash of the current file, if it is compared with the index.
    content: blake3::Hasher,
    files: RestoredFiles,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    begun: NewFile,
    bytes: u64,
    /// Its checksum, if it is compared with PostgreSQL's manifest.
    checksum: Option<Checksum>,
}

/// The file that couldn't be written, and why.
#[derive(Debug)]
pub(super) struct WriteFailure {
    pub(super) name: Vec<u8>,
    pub(super) reason: Reason,
}

/// Why a file couldn't be written.
#[derive(Debug)]
pub(super) enum Reason {
    /// The content isn't what was backed up.
    Differs,
    Failed(Box<Error>),
}

impl FileWriter {
    /// `files` says what is compared with PostgreSQL's manifest.
    pub(super) fn new(places: Places, files: RestoredFiles) -> Self {
        Self { places, current: None, content: blake3::Hasher::new(), files }
    }

    /// Writes a piece, and creates the file first if it is the first piece.
    pub(super) fn take(&mut self, piece: FilePiece) -> Result<(), WriteFailure> {
        if let Some(begins) = piece.begins {
            self.begin(begins)?;
        }
        let Some(OpenFile { file, begun, bytes, checksum }) = &mut self.current else { return Ok(()) };
        if let Err(error) = file.write_all(&piece.data) {
            let error = Error::local("write", self.places.path(&begun.name))(error);
            return Err(WriteFailure { name: begun.name.clone(), reason: Reason::Failed(Box::new(error)) });
        }
        *bytes += piece.data.len() as u64;
        for block in piece.data.chunks(CACHED_BYTES) {
            if begun.expected.is_some() {
                self.content.update(block);
            }
            if let Some(checksum) = checksum {
                checksum.update(block);
            }
        }
        if piece.is_last { self.end() } else { Ok(()) }
    }

    fn begin(&mut self, begun: NewFile) -> Result<(), WriteFailure> {
        let (root, name) = self.places.of(&begun.name);
        match root.create_file(name, begun.mode) {
            Ok(file) => {
                self.content.reset();
                let checksum = self.files.checksum(&begun.name);
                self.current = Some(OpenFile { file, begun, bytes: 0, checksum });
                Ok(())
            }
            Err(error) => Err(WriteFailure { name: begun.name, reason: Reason::Failed(Box::new(error)) }),
        }
    }

    /// Closes the current file.
    fn end(&mut self) -> Result<(), WriteFailure> {
        let Some(OpenFile { begun, bytes, checksum, .. }) = self.current.take() else { return Ok(()) };
        let NewFile { name, expected, .. } = begun;
        if expected.is_some_and(|expected| self.content.finalize() != expected) {
            return Err(WriteFailure { name, reason: Reason::Differs });
        }
        if let Some(checksum) = checksum {
            self.files.add(&name, bytes, checksum);
        }
        Ok(())
    }

    /// Returns the files that were written.
    pub(super) fn finish(self) -> FileSum {
        self.files.sum
    }
}

/// Returns the error for a file of `object` whose content isn't what was backed up.
pub(super) fn differs(object: &str, name: &[u8]) -> Error {
    let reason = format!(
        "the file {} isn't what was backed up; restore again, and if that happens again, check the memory of this machine, or \
         restore another backup",
        printable(name)
    );
    Error::damaged(object, reason)
}
