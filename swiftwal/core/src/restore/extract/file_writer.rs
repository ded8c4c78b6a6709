//! Writes files piece by piece, and compares each with its hash.

use std::fs::File;

use swiftwal_postgres::printable;

use super::{file_output::FileOutput, part::Part, places::Places};
use crate::{
    error::Error,
    repository::{
        file_check::{Differs, FileCheck},
        file_threads::{FilePiece, TakeFiles},
        manifest::{FileSum, RestoredFiles},
    },
    restore::chain::{BlockWriter, WriteBlocksError},
};

/// A stored file whose content follows.
#[derive(Debug)]
pub(super) struct NewFile {
    pub(super) name: Vec<u8>,
    pub(super) mode: u32,
    pub(super) bytes: u64,
    pub(super) part: Part,
    /// The hash of its content, if it is known.
    pub(super) expected: Option<blake3::Hash>,
}

/// Writes one file after another.
#[derive(Debug)]
pub(super) struct FileWriter {
    places: Places,
    current: Option<OpenFile>,
    files: RestoredFiles,
}

#[derive(Debug)]
struct OpenFile {
    output: Output,
    name: Vec<u8>,
    check: FileCheck,
}

/// Where the content goes.
#[derive(Debug)]
enum Output {
    File(FileOutput),
    Blocks(Box<BlockWriter>),
    /// It is only compared.
    Nowhere,
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
    /// The content isn't what PostgreSQL writes, for this reason.
    Invalid(String),
    Failed(Box<Error>),
}

impl FileWriter {
    /// `files` says what is compared with PostgreSQL's manifest.
    pub(super) fn new(places: Places, files: RestoredFiles) -> Self {
        Self { places, current: None, files }
    }

    fn begin(&mut self, begun: NewFile) -> Result<(), WriteFailure> {
        let NewFile { name, mode, bytes, part, expected } = begun;
        // PostgreSQL's manifest is read without the databases that aren't restored.
        let is_listed = !matches!(part, Part::Size { .. });
        let opened = match part {
            Part::Whole => self.create(&name, mode).map(|file| Output::File(FileOutput::new(file))),
            Part::Newest { complete, files } => self
                .create(&complete.1, mode)
                .map(|file| Output::Blocks(Box::new(BlockWriter::newest(file, complete, files, bytes)))),
            Part::Size { complete, files } => self
                .create(&complete.1, mode)
                .map(|file| Output::Blocks(Box::new(BlockWriter::size(file, complete, files, bytes)))),
            Part::Older { complete, changed, files, is_incremental } => {
                let (root, name) = self.places.of(&complete.1);
                root.open_file(name).map(|file| {
                    let complete = (complete.clone(), changed);
                    Output::Blocks(Box::new(BlockWriter::older(file, complete, files, bytes, is_incremental)))
                })
            }
            Part::Nothing => Ok(Output::Nowhere),
        };
        match opened {
            Ok(output) => {
                let checksum = self.files.checksum(&name).filter(|_| is_listed);
                self.current = Some(OpenFile { output, name, check: FileCheck::new(expected, checksum) });
                Ok(())
            }
            Err(error) => Err(WriteFailure { name, reason: Reason::Failed(Box::new(error)) }),
        }
    }

    fn create(&mut self, name: &[u8], mode: u32) -> Result<File, Error> {
        let (root, name) = self.places.of(name);
        root.create_file(name, mode)
    }

    /// Closes the current file.
    fn end(&mut self) -> Result<(), WriteFailure> {
        let Some(OpenFile { output, name, check }) = self.current.take() else { return Ok(()) };
        let checksum = match check.finish(&name, &mut self.files) {
            Ok(checksum) => checksum,
            Err(Differs) => return Err(WriteFailure { name, reason: Reason::Differs }),
        };
        match output {
            Output::Blocks(blocks) => blocks
                .end(self.files.algorithm.zip(checksum))
                .map_err(|error| failure(&mut self.places, &name, error)),
            Output::File(_) | Output::Nowhere => Ok(()),
        }
    }
}

impl TakeFiles for FileWriter {
    type File = NewFile;
    type Failure = WriteFailure;

    /// Writes a piece, and creates the file first if it is the first piece.
    fn take(&mut self, piece: FilePiece<NewFile>) -> Result<(), WriteFailure> {
        if let Some(begins) = piece.begins {
            self.begin(begins)?;
        }
        let Some(OpenFile { output, name, check }) = &mut self.current else { return Ok(()) };
        let written = match output {
            Output::File(file) => file.write(&piece.data).map_err(WriteBlocksError::from),
            Output::Blocks(blocks) => blocks.write(&piece.data),
            Output::Nowhere => Ok(()),
        };
        written.map_err(|error| failure(&mut self.places, name, error))?;
        check.add(&piece.data);
        if piece.is_last { self.end() } else { Ok(()) }
    }

    fn finish(self) -> FileSum {
        self.files.sum
    }
}

fn failure(places: &mut Places, name: &[u8], error: WriteBlocksError) -> WriteFailure {
    let reason = match error {
        WriteBlocksError::Io(error) => {
            Reason::Failed(Box::new(Error::local("write", places.path(name))(error)))
        }
        WriteBlocksError::Invalid(error) => Reason::Invalid(error.to_string()),
    };
    WriteFailure { name: name.to_owned(), reason }
}

/// Returns the error for a file of `object` that PostgreSQL doesn't write.
pub(super) fn invalid(object: &str, name: &[u8], reason: &str) -> Error {
    Error::damaged(object, format!("the file {} {reason}; restore another backup", printable(name)))
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
