//! Writes a tar's members as files below one directory, and nowhere else.
//!
//! One thread parses the tar and creates directories and links; others write the files ([`file_writer`]).

mod by_index;
mod file_output;
mod file_writer;
mod older_tar;
mod part;
mod places;
mod treatment;

use std::sync::{Arc, atomic::AtomicU64};

use bytes::Bytes;
use swiftwal_postgres::{
    incremental_file::complete_name,
    printable,
    tar_stream::{Member, MemberKind, TarStream, TarVisitor},
};
use tokio::sync::mpsc;

pub(super) use self::older_tar::OlderTar;
use self::{
    file_writer::{FileWriter, NewFile, Reason, WriteFailure, differs, invalid},
    part::Part,
};
pub(super) use self::{places::Places, treatment::Treatment};
use super::{
    chain::ChangedFiles, databases::ChosenDatabases, destination::Destination, tablespaces::Tablespaces,
};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        fetch::{StoredTar, parse},
        file_names::{CONTROL, LABEL},
        file_threads::{FilePiece, FileThreads},
        indexed_members::ExpectedContents,
        manifest::{Algorithm, Checksum, FileSum, RestoredFiles},
        member_name::stays_inside,
    },
};

/// The files of the tars that are needed later.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    /// `global/pg_control`, which isn't written yet.
    pub(super) control: Option<Vec<u8>>,
    /// `tablespace_map`, which isn't written yet.
    pub(super) tablespace_map: Option<Vec<u8>>,
    /// The content of `backup_label`.
    pub(super) label: Option<Vec<u8>>,
    /// The content of `PG_VERSION`.
    pub(super) version: Option<String>,
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Whether the index has other files than the tar, so that not every file was compared with its hash.
    pub(super) differs_from_index: bool,
    /// How many of the files existed, and were kept.
    pub(super) kept_files: u64,
    /// How much of the tars was fetched, as it is stored; none if that was everything.
    pub(super) fetched_bytes: Option<u64>,
    /// The files, to be compared with PostgreSQL's manifest.
    pub(super) sum: FileSum,
}

impl Extracted {
    /// Adds the files of another tar.
    pub(super) fn add(&mut self, other: Self) {
        self.control = other.control.or(self.control.take());
        self.tablespace_map = other.tablespace_map.or(self.tablespace_map.take());
        self.label = other.label.or(self.label.take());
        self.version = other.version.or(self.version.take());
        self.kept_files += other.kept_files;
        self.add_fetched(other.fetched_bytes);
        self.files += other.files;
        self.bytes += other.bytes;
        self.differs_from_index |= other.differs_from_index;
        self.sum += other.sum;
    }

    /// Adds what was fetched of other tars.
    pub(super) fn add_fetched(&mut self, fetched_bytes: Option<u64>) {
        self.fetched_bytes = match (self.fetched_bytes, fetched_bytes) {
            (Some(bytes), Some(more)) => Some(bytes + more),
            (bytes, more) => bytes.or(more),
        };
    }

    /// Whether the file `name`, which is written later, has arrived.
    fn has_kept(&self, name: &[u8]) -> bool {
        if name == CONTROL { self.control.is_some() } else { self.tablespace_map.is_some() }
    }
}

/// Writes one tar below one directory.
#[derive(Debug)]
pub(super) struct Extractor {
    /// Dropped before the destination: nothing may be written while that is removed.
    writers: FileThreads<FileWriter>,
    /// The files that the writers don't write.
    files: RestoredFiles,
    _destination: Arc<Destination>,
    /// The name of the tar's object.
    object: String,
    tablespace: Option<u32>,
    tablespaces: Tablespaces,
    expected: ExpectedContents,
    /// The incremental files; none for a full backup, in which such a name has no meaning.
    changed: Option<Arc<ChangedFiles>>,
    /// The databases that are restored; none for all of them.
    databases: Option<Arc<ChosenDatabases>>,
    places: Places,
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
    /// Whether it is written.
    is_written: bool,
    /// A file that is kept in memory, perhaps in addition.
    kept: Option<KeptFile>,
    /// A file that isn't written by a writer.
    unwritten: Option<UnwrittenFile>,
}

/// A file that is compared with PostgreSQL's manifest, but not written by a writer.
#[derive(Debug)]
struct UnwrittenFile {
    name: Vec<u8>,
    bytes: u64,
    checksum: Checksum,
}

#[derive(Debug)]
struct KeptFile {
    name: Vec<u8>,
    content: Vec<u8>,
    expected: Option<blake3::Hash>,
}

impl Extractor {
    /// Creates the writer for `tar`, and returns both. Its files are compared with the index; `manifest` is the algorithm
    /// of PostgreSQL's manifest. The incremental files of an incremental backup are added to `changed`, except those of
    /// databases that aren't restored.
    pub(super) fn new(
        destination: Arc<Destination>,
        mut tar: StoredTar,
        tablespaces: &Tablespaces,
        manifest: Option<Algorithm>,
        changed: Option<Arc<ChangedFiles>>,
        databases: Option<Arc<ChosenDatabases>>,
    ) -> Result<(StoredTar, Self)> {
        let tablespace = tar.tablespace;
        let mut places = Places::for_tar(&destination, tablespace)?;
        // The data directory's tar lacks it if the tablespace was dropped during the backup.
        if let Some(directory) = tar.prefix.strip_suffix(b"/").filter(|name| !places.has_created(name)) {
            places.create_directory(directory, 0o700)?;
        }
        let files = RestoredFiles::new(manifest, tablespace);
        let extractor = Self {
            files: files.clone(),
            writers: start_writers(&places, &files)?,
            _destination: destination,
            object: tar.name(),
            tablespace,
            tablespaces: tablespaces.clone(),
            expected: ExpectedContents::new(tar.members.take()),
            changed,
            databases,
            places,
            prefix: tar.prefix.clone(),
            piece: Bytes::new(),
            current: Current::default(),
            extracted: Extracted::default(),
        };
        Ok((tar, extractor))
    }

    /// Writes what it receives until the sender is closed. `written` counts the bytes of the tar.
    pub(super) fn extract(
        mut self,
        mut pieces: mpsc::Receiver<Bytes>,
        written: &AtomicU64,
    ) -> Result<Extracted> {
        let tar = TarStream::with_prefix(std::mem::take(&mut self.prefix));
        parse(tar, &mut pieces, written, &mut self, |extractor, piece| extractor.piece = piece)?;
        self.finish()
    }

    /// Waits until every file is written.
    pub(super) fn finish(mut self) -> Result<Extracted> {
        let finished = self.writers.finish();
        self.extracted.sum = finished.map_err(|failure| self.unwritten(failure))?;
        self.extracted.sum += self.files.sum;
        self.extracted.differs_from_index = self.expected.differ();
        Ok(self.extracted)
    }

    /// Returns the error for a file that couldn't be written.
    fn unwritten(&mut self, failure: WriteFailure) -> Error {
        match failure.reason {
            Reason::Differs => differs(&self.object, &failure.name),
            Reason::Invalid(reason) => invalid(&self.object, &failure.name, &reason),
            Reason::Failed(error) => self.unless_twice(&failure.name, *error),
        }
    }

    /// Returns the error for a member that PostgreSQL never writes.
    fn not_postgresqls(&self, name: &[u8], what: &str) -> Error {
        not_postgresqls(&self.object, name, what)
    }

    /// Refuses a name that PostgreSQL never writes.
    fn check_name(&self, name: &[u8]) -> Result<()> {
        if !stays_inside(name) {
            return Err(self.not_postgresqls(name, "a name that points outside its directory"));
        }
        if self.tablespace.is_some() && !self.tablespaces.may_hold(name) {
            return Err(self.not_postgresqls(name, "which isn't in PostgreSQL's directory of the tablespace"));
        }
        Ok(())
    }

    fn check_size(&self, member: &Member, treatment: Treatment) -> Result<()> {
        let Member { name, bytes, .. } = member;
        let (is_control, most) = (name == CONTROL, treatment.most_bytes());
        if *bytes > most || (is_control && *bytes != most) {
            let bound = if is_control { "" } else { "at most " };
            let reason = format!("its {} has {bytes} bytes instead of {bound}{most}", printable(name));
            return Err(Error::damaged(&self.object, reason));
        }
        Ok(())
    }

    fn create_link(&mut self, name: &[u8], target: &[u8]) -> Result<()> {
        let oid =
            name.strip_prefix(b"pg_tblspc/").and_then(|oid| std::str::from_utf8(oid).ok()?.parse().ok());
        let Some(oid) = oid.filter(|_| self.tablespace.is_none()) else {
            return Err(self.not_postgresqls(name, "a link that isn't a tablespace's"));
        };
        let Some(directory) = self.tablespaces.directory(oid) else {
            let reason = format!(
                "it has a link to the tablespace {oid} in {}, and the backup doesn't contain that tablespace",
                printable(target)
            );
            return Err(Error::damaged(&self.object, reason));
        };
        let created = self.places.root().create_link(name, directory);
        created.map_err(|error| self.unless_twice(name, error))
    }

    /// Returns the right error for a taken name: it may occur twice in the tar, or another process may have created it.
    fn unless_twice(&mut self, name: &[u8], error: Error) -> Error {
        // A writer may be about to create it.
        let _ = self.writers.finish();
        match error {
            Error::Refused(Refusal::Appeared { .. }) if self.has_created(name) => self.occurs_twice(name),
            error => error,
        }
    }

    /// Whether the file of the member `name` was created by this restore.
    fn has_created(&mut self, name: &[u8]) -> bool {
        let complete = self.changed.as_ref().and_then(|_| complete_name(name, self.tablespace.is_some()));
        self.places.has_created(complete.as_deref().unwrap_or(name))
    }

    fn occurs_twice(&self, name: &[u8]) -> Error {
        self.not_postgresqls(name, TWICE)
    }

    fn begin_file(&mut self, member: Member, expected: Option<blake3::Hash>) -> Result<Current> {
        let treatment =
            if self.tablespace.is_none() { Treatment::of(&member.name) } else { Treatment::Written };
        self.check_size(&member, treatment)?;
        let Member { name, mode, bytes, .. } = member;
        if treatment.is_kept() && !treatment.is_written() && self.extracted.has_kept(&name) {
            return Err(self.occurs_twice(&name));
        }
        let part = self.part(&name)?;
        if !matches!(treatment, Treatment::LeftOut) {
            self.extracted.files += 1;
        }
        if matches!(part, Part::Whole) && !matches!(treatment, Treatment::LeftOut) {
            self.extracted.bytes += bytes;
        }
        let is_written = treatment.is_written();
        let kept =
            treatment.is_kept().then(|| KeptFile { name: name.clone(), content: Vec::new(), expected });
        let checksum = self.files.checksum(&name).filter(|_| !is_written);
        let unwritten = checksum.map(|checksum| UnwrittenFile { name: name.clone(), bytes, checksum });
        let begins = is_written.then_some(NewFile { name, mode, bytes, part, expected });
        Ok(Current { left: bytes, begins, is_written, kept, unwritten })
    }

    /// Returns what is written of the file `name`.
    fn part(&self, name: &[u8]) -> Result<Part> {
        let Some(files) = &self.changed else { return Ok(Part::Whole) };
        let Some(complete) = complete_name(name, self.tablespace.is_some()) else { return Ok(Part::Whole) };
        if self.tablespace.is_none() && Treatment::of(&complete) != Treatment::Written {
            return Err(self.not_postgresqls(name, "blocks of a file that isn't a relation's"));
        }
        let files = Arc::clone(files);
        let is_left_out =
            self.databases.as_ref().is_some_and(|databases| databases.leaves_out(self.tablespace, &complete));
        let complete = (self.tablespace, complete);
        Ok(if is_left_out { Part::Size { complete, files } } else { Part::Newest { complete, files } })
    }

    /// Passes a piece of the current file to its writer.
    fn write(&mut self, data: Bytes) -> Result<()> {
        let Current { left, begins, .. } = &mut self.current;
        let piece = FilePiece { begins: begins.take(), data, is_last: *left == 0 };
        self.writers.pass(piece).map_err(|failure| self.unwritten(failure))
    }

    /// Keeps a file in memory that is complete.
    fn keep(&mut self, file: KeptFile) -> Result<()> {
        let KeptFile { name, content, expected } = file;
        if expected.is_some_and(|expected| blake3::hash(&content) != expected) {
            return Err(differs(&self.object, &name));
        }
        match name.as_slice() {
            b"PG_VERSION" => self.extracted.version = Some(String::from_utf8_lossy(&content).into_owned()),
            b"tablespace_map" => self.extracted.tablespace_map = Some(content),
            LABEL => self.extracted.label = Some(content),
            _ if content.iter().all(|byte| *byte == 0) => {
                return Err(Error::damaged(&self.object, "its global/pg_control is all zeros"));
            }
            _ => self.extracted.control = Some(content),
        }
        Ok(())
    }
}

/// Starts the threads that write files into `places`. `files` says what is compared with PostgreSQL's manifest.
fn start_writers(places: &Places, files: &RestoredFiles) -> Result<FileThreads<FileWriter>> {
    let started = FileThreads::start(usize::MAX, || FileWriter::new(places.clone(), files.clone()));
    started.map_err(Error::local("start a thread to write into", places.clone().path(b"")))
}

/// What is wrong with a second member of the same name.
const TWICE: &str = "a name that occurs twice";

/// Returns the error for a member of `object` that PostgreSQL never writes.
fn not_postgresqls(object: &str, name: &[u8], what: &str) -> Error {
    let reason = format!(
        "it contains '{}', {what}; PostgreSQL never writes that, so this isn't its backup: don't trust it, nor the \
         rest of the repository before you know who wrote it",
        printable(name)
    );
    Error::damaged(object, reason)
}

impl TarVisitor for Extractor {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        let expected = self.expected.of(&member);
        // The root itself exists already.
        if member.kind == MemberKind::Directory && matches!(member.name.as_slice(), b"" | b".") {
            return Ok(());
        }
        self.check_name(&member.name)?;
        match &member.kind {
            MemberKind::Directory => self.places.create_directory(&member.name, member.mode)?,
            MemberKind::Link { target } => self.create_link(&member.name, target)?,
            MemberKind::File => self.current = self.begin_file(member, expected)?,
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        self.current.left -= data.len() as u64;
        if let Some(file) = &mut self.current.kept {
            file.content.extend_from_slice(data);
        }
        if let Some(file) = &mut self.current.unwritten {
            file.checksum.update(data);
        }
        if self.current.is_written { self.write(self.piece.slice_ref(data)) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<()> {
        if self.current.begins.is_some() {
            // It is empty.
            self.write(Bytes::new())?;
        }
        let Current { kept, unwritten, .. } = std::mem::take(&mut self.current);
        if let Some(UnwrittenFile { name, bytes, checksum }) = unwritten {
            self.files.add(&name, bytes, &checksum.finish());
        }
        kept.map_or(Ok(()), |file| self.keep(file))
    }
}
