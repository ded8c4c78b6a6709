//! Removes what isn't in the backup from the directories of a cluster, and nothing outside them: links are removed, never
//! followed.

use rustix::fs::FileType;

use super::{Stop, listed::ListedNames};
use crate::{
    error::{Error, Result},
    restore::{claim::MARKER, created::Kind, extract::WAL, root::Root, tablespaces::Tablespaces},
};

/// What belongs to the cluster in a directory.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope<'a> {
    /// All of the data directory. Whether `pg_wal` is a link in it.
    Data { has_wal_link: bool },
    /// All of the directory for the WAL, whose name in the backup this is.
    Wal(&'a [u8]),
    /// PostgreSQL's directory in that of a tablespace.
    Tablespace(&'a Tablespaces),
}

/// Removes what the backup doesn't contain.
#[derive(Debug)]
pub(super) struct Clearing<'a> {
    pub(super) root: Root,
    pub(super) scope: Scope<'a>,
    pub(super) listed: &'a ListedNames,
    pub(super) stop: &'a Stop,
}

impl Clearing<'_> {
    /// Removes from the subdirectory `directory`, which is empty for the directory itself, everything that isn't listed
    /// as what it is.
    pub(super) fn clear(&mut self, directory: &[u8]) -> Result<()> {
        for (name, kind) in self.entries(directory)? {
            if directory.is_empty() && self.is_left_alone(&name) {
                continue;
            }
            let name = below(directory, &name);
            match kind {
                FileType::Directory if self.is_listed(&name, Kind::Directory) => self.clear(&name)?,
                FileType::Directory => self.remove_directory(&name)?,
                FileType::RegularFile if self.is_listed(&name, Kind::File) => {}
                _ => self.root.remove_existing(&name, Kind::File)?,
            }
        }
        Ok(())
    }

    fn remove_directory(&mut self, directory: &[u8]) -> Result<()> {
        for (name, kind) in self.entries(directory)? {
            let name = below(directory, &name);
            match kind {
                FileType::Directory => self.remove_directory(&name)?,
                _ => self.root.remove_existing(&name, Kind::File)?,
            }
        }
        self.root.remove_existing(directory, Kind::Directory)
    }

    /// Returns the entries of a directory. NFS lists a file that is open and has no name, such as the index's text.
    fn entries(&mut self, directory: &[u8]) -> Result<Vec<(Vec<u8>, FileType)>> {
        self.stop.check()?;
        let path = self.root.path_of(directory);
        let mut entries = self.root.entries(directory).map_err(Error::local("read", path))?;
        entries.retain(|(name, _)| !name.starts_with(b".nfs"));
        Ok(entries)
    }

    /// Whether a name in the directory itself isn't the cluster's.
    fn is_left_alone(&self, name: &[u8]) -> bool {
        let is_foreign = match self.scope {
            Scope::Tablespace(tablespaces) => !tablespaces.may_hold(name),
            _ => false,
        };
        is_foreign || name == MARKER || name == b"lost+found"
    }

    fn is_listed(&self, name: &[u8], kind: Kind) -> bool {
        match self.scope {
            Scope::Data { has_wal_link: true } if WAL.contains(&name) => false,
            Scope::Wal(wal) => self.listed.contains(&below(wal, name), kind),
            _ => self.listed.contains(name, kind),
        }
    }
}

/// Returns the path of `name` in `directory`.
fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_owned() } else { [directory, b"/", name].concat() }
}
