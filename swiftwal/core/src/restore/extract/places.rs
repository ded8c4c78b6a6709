//! Where each member of a tar is written: below the tar's directory, or below that of the WAL if it is another one.

use std::path::PathBuf;

use crate::{
    error::Result,
    repository::file_names::WAL,
    restore::{destination::Destination, root::Root},
};

/// The directories that a tar is written into.
#[derive(Clone, Debug)]
pub(in crate::restore) struct Places {
    root: Root,
    /// The directory that `pg_wal` becomes a link to, if it isn't a directory itself.
    wal: Option<Root>,
}

impl Places {
    /// Returns the directories that the tar of a tablespace, or of the data directory, is written into.
    pub(in crate::restore) fn for_tar(destination: &Destination, tablespace: Option<u32>) -> Result<Self> {
        let wal = if tablespace.is_none() { destination.wal_root() } else { None };
        Ok(Self::new(destination.root(tablespace)?, wal))
    }

    pub(in crate::restore) fn new(root: Root, wal: Option<Root>) -> Self {
        Self { root, wal }
    }

    /// The tar's directory.
    pub(super) fn root(&mut self) -> &mut Root {
        &mut self.root
    }

    /// Returns the directory below which the member `name` is written, with its name there.
    pub(in crate::restore) fn of<'a>(&mut self, name: &'a [u8]) -> (&mut Root, &'a [u8]) {
        let below_wal = WAL.iter().find_map(|wal| name.strip_prefix(*wal)?.strip_prefix(b"/"));
        match (&mut self.wal, below_wal) {
            (Some(wal), Some(name)) => (wal, name),
            _ => (&mut self.root, name),
        }
    }

    /// Creates the directory `name`; for that of the WAL, a link to the other one.
    pub(super) fn create_directory(&mut self, name: &[u8], mode: u32) -> Result<()> {
        if let Some(wal) = self.wal.as_ref().filter(|_| WAL.contains(&name)) {
            let target = wal.path().to_owned();
            return self.root.create_link(name, &target);
        }
        let (root, name) = self.of(name);
        root.create_directory(name, mode)
    }

    /// Whether the member `name` was created by this restore.
    pub(super) fn has_created(&mut self, name: &[u8]) -> bool {
        let (root, name) = self.of(name);
        root.has_created(name)
    }

    /// Returns the path of the member `name`.
    pub(super) fn path(&mut self, name: &[u8]) -> PathBuf {
        let (root, name) = self.of(name);
        root.path().join(crate::restore::member_name::path_of(name))
    }
}
