//! The files of a tar by its index, with what the restore does with each.

use std::sync::Arc;

use swiftwal_postgres::tar_stream::{Member, MemberKind};

use crate::{
    error::{Error, Result},
    repository::index::{IndexedKind, IndexedMember},
    restore::{
        databases::ChosenDatabases, extract::Treatment, indexed_members::IndexedMembers,
        member_name::stays_inside, tablespaces::Tablespaces,
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
    treatment: Treatment,
    /// Whether it is of a database that isn't restored.
    is_left_out: bool,
}

impl IndexedFile {
    /// Returns the file of a tablespace's tar, or of the data directory's.
    pub(super) fn new(
        number: u32,
        member: Member,
        hash: Option<blake3::Hash>,
        tablespace: Option<u32>,
        databases: Option<&ChosenDatabases>,
    ) -> Self {
        let treatment = tablespace.map_or_else(|| Treatment::of(&member.name), |_| Treatment::Written);
        let is_left_out = databases.is_some_and(|databases| databases.leaves_out(tablespace, &member.name));
        Self { number, member, hash, treatment, is_left_out }
    }

    /// Whether it is of a database that isn't restored.
    pub(super) fn is_left_out(&self) -> bool {
        self.is_left_out
    }

    /// Whether there is something to fetch for it.
    pub(super) fn has_content(&self) -> bool {
        self.member.bytes > 0 && !self.is_left_out
    }

    /// Whether the file is written together with the others.
    pub(super) fn is_written(&self) -> bool {
        self.treatment.is_written()
    }

    /// Whether the file may be kept if it exists.
    pub(super) fn is_reusable(&self) -> bool {
        self.treatment.is_reusable(&self.member.name) && !self.is_left_out
    }
}

/// The members of a tar, as the index lists them.
#[derive(Debug)]
pub(super) struct Members {
    members: IndexedMembers,
    object: String,
    tablespace: Option<u32>,
    tablespaces: Tablespaces,
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
    /// Returns the members of the tar that is stored as `object`, of a tablespace or of the data directory.
    pub(super) fn new(
        members: IndexedMembers,
        object: String,
        tablespace: Option<u32>,
        tablespaces: &Tablespaces,
        databases: Option<Arc<ChosenDatabases>>,
    ) -> Self {
        Self { members, object, tablespace, tablespaces: tablespaces.clone(), databases, files: 0 }
    }

    /// Returns all of them again.
    pub(super) fn again(&self) -> Self {
        let (members, databases) = (self.members.again(), self.databases.clone());
        Self::new(members, self.object.clone(), self.tablespace, &self.tablespaces, databases)
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
