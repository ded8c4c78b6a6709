//! Writes a tar's members as files below one directory, and nowhere else.

mod treatment;

use std::{
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use swiftwal_postgres::{
    printable,
    tar_stream::{Member, MemberKind, TarStream, TarVisitor},
};
use tokio::sync::mpsc;

use self::treatment::Treatment;
use super::{
    destination::{CONTROL, Destination, LABEL},
    member_name::{path_of, stays_inside},
    root::Root,
    tablespaces::Tablespaces,
};
use crate::error::{Error, Refusal, Result};

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
}

impl Extracted {
    /// Adds the files of another tar.
    pub(super) fn add(&mut self, other: Self) {
        self.control = other.control.or(self.control.take());
        self.tablespace_map = other.tablespace_map.or(self.tablespace_map.take());
        self.label = other.label.or(self.label.take());
        self.version = other.version.or(self.version.take());
        self.files += other.files;
        self.bytes += other.bytes;
    }

    /// Whether the file `name`, which is written later, has arrived.
    fn has_kept(&self, name: &[u8]) -> bool {
        if name == CONTROL { self.control.is_some() } else { self.tablespace_map.is_some() }
    }
}

/// Writes one tar below one directory.
#[derive(Debug)]
pub(super) struct Extractor {
    /// Held so that nothing is removed while this still writes.
    _destination: Arc<Destination>,
    /// The name of the tar's object.
    object: String,
    tablespace: Option<u32>,
    tablespaces: Tablespaces,
    root: Root,
    current: Current,
    extracted: Extracted,
}

#[derive(Debug, Default)]
enum Current {
    /// No file, or one that isn't wanted.
    #[default]
    Nothing,
    File {
        name: Vec<u8>,
        file: File,
    },
    /// A file that is kept in memory, and possibly written as well.
    Kept {
        name: Vec<u8>,
        content: Vec<u8>,
        file: Option<File>,
    },
}

impl Extractor {
    /// Creates the writer for the data directory's tar, or for that of a tablespace, stored as `object`.
    pub(super) fn new(
        destination: Arc<Destination>,
        object: String,
        tablespace: Option<u32>,
        tablespaces: &Tablespaces,
    ) -> Result<Self> {
        let root = destination.root(tablespace)?;
        Ok(Self {
            _destination: destination,
            object,
            tablespace,
            tablespaces: tablespaces.clone(),
            root,
            current: Current::Nothing,
            extracted: Extracted::default(),
        })
    }

    /// Writes what it receives until the sender is closed. `written` counts the bytes of the tar.
    pub(super) fn extract(
        mut self,
        mut pieces: mpsc::Receiver<Bytes>,
        written: &AtomicU64,
    ) -> Result<Extracted> {
        let mut tar = TarStream::default();
        while let Some(piece) = pieces.blocking_recv() {
            tar.push(&piece, &mut self)?;
            written.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
        tar.finish()?;
        Ok(self.extracted)
    }

    /// Returns the error for a member that PostgreSQL never writes.
    fn not_postgresqls(&self, name: &[u8], what: &str) -> Error {
        let reason = format!(
            "it contains '{}', {what}; PostgreSQL never writes that, so this isn't its backup: don't trust it, nor the \
             rest of the repository before you know who wrote it",
            printable(name)
        );
        Error::damaged(&self.object, reason)
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
        let created = self.root.create_link(name, directory);
        created.map_err(|error| self.unless_twice(name, error))
    }

    fn create_file(&mut self, name: &[u8], mode: u32) -> Result<File> {
        let created = self.root.create_file(name, mode);
        created.map_err(|error| self.unless_twice(name, error))
    }

    /// Returns the right error for a taken name: it may occur twice in the tar, or another process may have created it.
    fn unless_twice(&self, name: &[u8], error: Error) -> Error {
        match error {
            Error::Refused(Refusal::Appeared { .. }) if self.root.has_created(name) => {
                self.occurs_twice(name)
            }
            error => error,
        }
    }

    fn occurs_twice(&self, name: &[u8]) -> Error {
        self.not_postgresqls(name, "a name that occurs twice")
    }

    fn begin_file(&mut self, member: Member) -> Result<Current> {
        let treatment =
            if self.tablespace.is_none() { Treatment::of(&member.name) } else { Treatment::Written };
        self.check_size(&member, treatment)?;
        let Member { name, mode, bytes, .. } = member;
        if !matches!(treatment, Treatment::LeftOut) {
            self.extracted.files += 1;
            self.extracted.bytes += bytes;
        }
        let content = Vec::new();
        Ok(match treatment {
            Treatment::Written => {
                let file = self.create_file(&name, mode)?;
                Current::File { name, file }
            }
            Treatment::WrittenAndKept { .. } => {
                let file = Some(self.create_file(&name, mode)?);
                Current::Kept { name, content, file }
            }
            Treatment::Kept { .. } if self.extracted.has_kept(&name) => return Err(self.occurs_twice(&name)),
            Treatment::Kept { .. } => Current::Kept { name, content, file: None },
            Treatment::LeftOut => Current::Nothing,
        })
    }
}

impl TarVisitor for Extractor {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        // The root itself exists already.
        if member.kind == MemberKind::Directory && matches!(member.name.as_slice(), b"" | b".") {
            return Ok(());
        }
        self.check_name(&member.name)?;
        match &member.kind {
            MemberKind::Directory => self.root.create_directory(&member.name, member.mode)?,
            MemberKind::Link { target } => self.create_link(&member.name, target)?,
            MemberKind::File => self.current = self.begin_file(member)?,
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        let (name, file) = match &mut self.current {
            Current::Nothing => return Ok(()),
            Current::File { name, file } => (name, Some(file)),
            Current::Kept { name, content, file } => {
                content.extend_from_slice(data);
                (name, file.as_mut())
            }
        };
        let Some(file) = file else { return Ok(()) };
        file.write_all(data).map_err(Error::local("write", self.root.path().join(path_of(name))))
    }

    fn end(&mut self) -> Result<()> {
        let Current::Kept { name, content, .. } = std::mem::take(&mut self.current) else { return Ok(()) };
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
