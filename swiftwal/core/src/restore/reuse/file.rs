//! The files of a tar by its index, with what the restore does with each.

use std::sync::Arc;

use swiftwal_postgres::{
    incremental_file::complete_name,
    tar_stream::{Member, MemberKind},
};

use super::known_content::{FileContent, UnchangedFiles};
use crate::{
    error::{Error, Result},
    repository::{
        index::{IndexedKind, IndexedMember},
        indexed_members::IndexedMembers,
    },
    restore::{
        databases::ChosenDatabases, extract::Treatment, member_name::stays_inside, tablespaces::Tablespaces,
    },
};

/// A file of a tar.
#[derive(Clone, Debug)]
pub(super) struct IndexedFile {
    /// Its number among the files of the tar.
    pub(super) number: u32,
    pub(super) member: Member,
    /// The hash of its content.
    pub(super) hash: Option<blake3::Hash>,
    /// The complete file, if this is an incremental one.
    complete: Option<CompleteFile>,
    treatment: Treatment,
    /// Whether it is of a database that isn't restored.
    is_left_out: bool,
}

/// The complete file that an incremental one belongs to.
#[derive(Clone, Debug)]
struct CompleteFile {
    name: Vec<u8>,
    /// None if its content isn't known beforehand.
    content: Option<FileContent>,
}

impl IndexedFile {
    /// Returns the file of a tablespace's tar, or of the data directory's. `unchanged` says what is known of the files of
    /// an incremental backup.
    pub(super) fn new(
        number: u32,
        member: Member,
        hash: Option<blake3::Hash>,
        tablespace: Option<u32>,
        unchanged: Option<&UnchangedFiles>,
        databases: Option<&ChosenDatabases>,
    ) -> Self {
        let complete = unchanged.and_then(|unchanged| {
            let name = complete_name(&member.name, tablespace.is_some())?;
            Some(CompleteFile { content: unchanged.content(tablespace, &name), name })
        });
        let mut file =
            Self { number, member, hash, complete, treatment: Treatment::Written, is_left_out: false };
        if tablespace.is_none() {
            file.treatment = Treatment::of(file.name());
        }
        file.is_left_out = databases.is_some_and(|databases| databases.leaves_out(tablespace, file.name()));
        file
    }

    /// Returns the name of the restored file.
    pub(super) fn name(&self) -> &[u8] {
        self.complete.as_ref().map_or(&self.member.name, |complete| &complete.name)
    }

    /// Whether it contains blocks of a file, and not a complete one.
    pub(super) fn is_incremental(&self) -> bool {
        self.complete.is_some()
    }

    /// Returns the content of the restored file, if that is known beforehand.
    pub(super) fn restored(&self) -> Option<FileContent> {
        match &self.complete {
            Some(complete) => complete.content,
            None => Some(FileContent { bytes: self.member.bytes, hash: self.hash? }),
        }
    }

    /// Whether it is of a database that isn't restored.
    pub(super) fn is_left_out(&self) -> bool {
        self.is_left_out
    }

    /// Whether there is something to fetch for it. The size of a complete file is in the incremental one.
    pub(super) fn has_content(&self) -> bool {
        self.member.bytes > 0 && (!self.is_left_out || self.is_incremental())
    }

    /// Whether the file is written at all, now or in the end.
    pub(super) fn is_restored(&self) -> bool {
        self.treatment != Treatment::LeftOut
    }

    /// Whether the file is written together with the others.
    pub(super) fn is_written(&self) -> bool {
        self.treatment.is_written()
    }

    /// Whether the file may be kept if it exists.
    pub(super) fn is_reusable(&self) -> bool {
        self.treatment.is_reusable(self.name()) && !self.is_left_out
    }
}

/// The members of a tar, as the index lists them.
#[derive(Debug)]
pub(super) struct Members {
    members: IndexedMembers,
    object: String,
    tablespace: Option<u32>,
    tablespaces: Tablespaces,
    unchanged: Option<Arc<UnchangedFiles>>,
    databases: Option<Arc<ChosenDatabases>>,
    files: u32,
}

/// A member of a tar.
#[derive(Debug)]
pub(super) enum ListedMember {
    File(IndexedFile),
    /// A directory or a link.
    Other(Member),
}

impl Members {
    /// Returns the members of the tar that is stored as `object`, of a tablespace or of the data directory. All of them are
    /// complete files.
    pub(super) fn new(
        members: IndexedMembers,
        object: String,
        tablespace: Option<u32>,
        tablespaces: &Tablespaces,
    ) -> Self {
        let tablespaces = tablespaces.clone();
        Self { members, object, tablespace, tablespaces, unchanged: None, databases: None, files: 0 }
    }

    /// Returns them for a restore of these databases only.
    pub(super) fn with_databases(self, databases: Option<Arc<ChosenDatabases>>) -> Self {
        Self { databases, ..self }
    }

    /// Returns them with what is known of the files of an incremental backup.
    pub(super) fn with_unchanged(self, unchanged: Option<Arc<UnchangedFiles>>) -> Self {
        Self { unchanged, ..self }
    }

    /// Returns all of them again.
    pub(super) fn again(&self) -> Self {
        let (unchanged, databases) = (self.unchanged.clone(), self.databases.clone());
        Self::new(self.members.again(), self.object.clone(), self.tablespace, &self.tablespaces)
            .with_unchanged(unchanged)
            .with_databases(databases)
    }

    /// Returns the name of the tar's object.
    pub(super) fn object(&self) -> &str {
        &self.object
    }

    /// Returns the files.
    pub(super) fn files(self) -> Files {
        Files(self)
    }

    fn listed(&mut self, indexed: IndexedMember) -> Result<ListedMember> {
        let IndexedMember { name, mode, kind } = indexed;
        self.check_name(&name.0)?;
        let member =
            |kind, bytes, offset| Member { name: name.0, kind, mode: mode.0, modified: 0, bytes, offset };
        Ok(match kind {
            IndexedKind::Directory => ListedMember::Other(member(MemberKind::Directory, 0, 0)),
            IndexedKind::Link { target } => {
                ListedMember::Other(member(MemberKind::Link { target: target.0 }, 0, 0))
            }
            IndexedKind::File { offset, bytes, blake3 } => {
                let (number, member) = (self.files, member(MemberKind::File, bytes, offset));
                self.files += 1;
                let hash = blake3::Hash::from_hex(blake3).ok();
                ListedMember::File(IndexedFile::new(
                    number,
                    member,
                    hash,
                    self.tablespace,
                    self.unchanged.as_deref(),
                    self.databases.as_deref(),
                ))
            }
        })
    }

    /// Refuses a name that PostgreSQL never writes.
    fn check_name(&self, name: &[u8]) -> Result<()> {
        let is_root = matches!(name, b"" | b".");
        let is_valid = stays_inside(name) && (self.tablespace.is_none() || self.tablespaces.may_hold(name));
        if is_valid || is_root {
            return Ok(());
        }
        Err(Error::damaged(&self.object, "its index has a name that points outside its directory"))
    }
}

impl Iterator for Members {
    type Item = Result<ListedMember>;

    fn next(&mut self) -> Option<Self::Item> {
        let indexed = self.members.next().map_err(|error| Error::damaged(&self.object, error)).transpose()?;
        Some(indexed.and_then(|indexed| self.listed(indexed)))
    }
}

/// The files of a tar.
#[derive(Debug)]
pub(super) struct Files(Members);

impl Files {
    /// Returns the tablespace, or none for the data directory.
    pub(super) fn tablespace(&self) -> Option<u32> {
        self.0.tablespace
    }
}

impl Iterator for Files {
    type Item = Result<IndexedFile>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Ok(ListedMember::File(file)) => return Some(Ok(file)),
                Ok(ListedMember::Other(_)) => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
