//! Reads a tar of an older backup in a chain, and writes the blocks that the newer ones lack.
//!
//! Nothing is created: a file that the newest backup doesn't have isn't in the result. The other members are only
//! compared with PostgreSQL's manifest.

use std::sync::{Arc, atomic::AtomicU64};

use bytes::Bytes;
use swiftwal_postgres::{
    printable,
    tar_stream::{Member, MemberKind, TarStream, TarVisitor},
};
use tokio::sync::mpsc;

use super::{
    Extracted, TWICE,
    file_writer::{FileWriter, NewFile, Reason, WriteFailure, differs, invalid},
    not_postgresqls,
    part::Part,
    places::Places,
    start_writers,
    treatment::Treatment,
};
use crate::{
    error::{Error, Result},
    repository::{
        fetch::{StoredTar, parse},
        file_names::{CONTROL, LABEL},
        file_threads::{FilePiece, FileThreads},
        indexed_members::ExpectedContents,
        manifest::{Algorithm, RestoredFiles},
    },
    restore::{
        chain::{ChangedFiles, OlderFile},
        destination::Destination,
    },
};

/// Reads one tar.
#[derive(Debug)]
pub(in crate::restore) struct OlderTar {
    /// Dropped before the destination: nothing may be written while that is removed.
    writers: FileThreads<FileWriter>,
    files: RestoredFiles,
    _destination: Arc<Destination>,
    /// The name of the tar's object.
    object: String,
    /// The number of its backup: 1 for the parent of the newest one.
    backup: u32,
    tablespace: Option<u32>,
    changed: Arc<ChangedFiles>,
    expected: ExpectedContents,
    /// What the names of the members are prefixed with.
    prefix: Vec<u8>,
    /// The piece of the tar that is parsed.
    piece: Bytes,
    current: Current,
    extracted: Extracted,
}

#[derive(Debug, Default)]
struct Current {
    /// The bytes that haven't arrived.
    left: u64,
    /// The file, until its first piece arrives.
    begins: Option<NewFile>,
    /// Whether a writer gets it.
    is_sent: bool,
    /// A file that is kept in memory: the label or pg_control.
    kept: Option<(Vec<u8>, Vec<u8>)>,
}

impl OlderTar {
    /// Begins with a tar of the backup with the number `backup`, of which the files in `changed` are filled. `manifest` is
    /// the algorithm of that backup's manifest.
    pub(in crate::restore) fn new(
        destination: Arc<Destination>,
        tar: &mut StoredTar,
        backup: u32,
        changed: Arc<ChangedFiles>,
        manifest: Option<Algorithm>,
    ) -> Result<Self> {
        let tablespace = tar.tablespace;
        // Of a tablespace that the newest backup doesn't have, nothing is written.
        let root = destination.root(tablespace).or_else(|_| destination.root(None))?;
        let files = RestoredFiles::new(manifest, tablespace);
        Ok(Self {
            writers: start_writers(&Places::new(root, None), &files)?,
            files,
            _destination: destination,
            object: tar.name(),
            backup,
            tablespace,
            changed,
            expected: ExpectedContents::new(tar.members.take()),
            prefix: tar.prefix.clone(),
            piece: Bytes::new(),
            current: Current::default(),
            extracted: Extracted::default(),
        })
    }

    /// Reads the whole tar that it receives, until the sender is closed. `read` counts the bytes of the tar. Returns the label,
    /// pg_control, and the sum over all files.
    pub(in crate::restore) fn extract(
        mut self,
        mut pieces: mpsc::Receiver<Bytes>,
        read: &AtomicU64,
    ) -> Result<Extracted> {
        let stream = TarStream::with_prefix(std::mem::take(&mut self.prefix));
        parse(stream, &mut pieces, read, &mut self, |tar, piece| tar.piece = piece)?;
        self.finish()
    }

    /// Passes over a member of which nothing is read.
    pub(in crate::restore) fn skip(&mut self, member: &Member) {
        self.expected.of(member);
    }

    /// Reads a piece of the current file.
    pub(in crate::restore) fn read_piece(&mut self, data: &Bytes) -> Result<()> {
        self.piece = data.clone();
        self.data(data)
    }

    /// Waits until everything is written.
    pub(in crate::restore) fn finish(mut self) -> Result<Extracted> {
        self.extracted.sum = self.writers.finish().map_err(|failure| self.unwritten(failure))?;
        self.extracted.differs_from_index = self.expected.differ();
        Ok(self.extracted)
    }

    fn begin_file(&mut self, member: Member, expected: Option<blake3::Hash>) -> Result<Current> {
        let Member { name, mode, bytes, .. } = member;
        let kept = self.begin_kept(&name, bytes)?;
        let part = match self.changed.take(self.backup, self.tablespace, &name) {
            OlderFile::Twice => return Err(not_postgresqls(&self.object, &name, TWICE)),
            OlderFile::Unwanted => Part::Nothing,
            OlderFile::Wanted { name: complete, file: changed, is_incremental } => {
                Part::Older { complete, changed, files: Arc::clone(&self.changed), is_incremental }
            }
        };
        // What isn't used needs no hash of its own: if it is read, so is the tar as a whole, which has one.
        let is_used = kept.is_some() || !matches!(part, Part::Nothing);
        let expected = expected.filter(|_| is_used);
        let is_sent = is_used || self.files.checksum(&name).is_some();
        let begins = is_sent.then_some(NewFile { name, mode, bytes, part, expected });
        Ok(Current { left: bytes, begins, is_sent, kept })
    }

    /// Whether the content of the file `name` of a tar is kept in memory.
    pub(in crate::restore) fn keeps(tablespace: Option<u32>, name: &[u8]) -> bool {
        tablespace.is_none() && [LABEL, CONTROL].contains(&name)
    }

    /// Returns the place for the content of a file that is kept in memory, with its name.
    fn begin_kept(&self, name: &[u8], bytes: u64) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        if !Self::keeps(self.tablespace, name) {
            return Ok(None);
        }
        let most = Treatment::of(name).most_bytes();
        if bytes > most {
            let reason = format!("its {} has {bytes} bytes instead of at most {most}", printable(name));
            return Err(Error::damaged(&self.object, reason));
        }
        Ok(Some((name.to_owned(), Vec::new())))
    }

    /// Passes a piece of the current file to its writer.
    fn write(&mut self, data: Bytes) -> Result<()> {
        let Current { left, begins, .. } = &mut self.current;
        let piece = FilePiece { begins: begins.take(), data, is_last: *left == 0 };
        self.writers.pass(piece).map_err(|failure| self.unwritten(failure))
    }

    /// Returns the error for a file that couldn't be written.
    fn unwritten(&self, failure: WriteFailure) -> Error {
        match failure.reason {
            Reason::Differs => differs(&self.object, &failure.name),
            Reason::Invalid(reason) => invalid(&self.object, &failure.name, &reason),
            Reason::Failed(error) => *error,
        }
    }
}

impl TarVisitor for OlderTar {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        let expected = self.expected.of(&member);
        if member.kind == MemberKind::File {
            self.current = self.begin_file(member, expected)?;
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        self.current.left -= data.len() as u64;
        if let Some((_, content)) = &mut self.current.kept {
            content.extend_from_slice(data);
        }
        if self.current.is_sent { self.write(self.piece.slice_ref(data)) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<()> {
        if self.current.begins.is_some() {
            // It is empty.
            self.write(Bytes::new())?;
        }
        match std::mem::take(&mut self.current).kept {
            Some((name, content)) if name == LABEL => self.extracted.label = Some(content),
            Some((_, content)) => self.extracted.control = Some(content),
            None => {}
        }
        Ok(())
    }
}
