//! Removes what isn't in the backup from the directories of a cluster, and nothing outside them: links are removed, never
//! followed.

use rustix::fs::FileType;

use super::{Stop, listed::ListedNames};
use crate::{
    error::{Error, Refusal, Result},
    repository::file_names::WAL,
    restore::{claim::MARKER, created::Kind, root::Root, running::PID_FILE, tablespaces::Tablespaces},
};

/// The file that makes a directory a repository.
const REPOSITORY: &[u8] = b"cluster.json";
/// The directory that a file system has at its top, and that is root's.
const LOST_AND_FOUND: &[u8] = b"lost+found";

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
    /// Refuses to remove what isn't a cluster's, or can't be removed: a repository, a file system that is mounted in a
    /// directory to be removed, and a directory that can't be read. `directory` is as for [`clear`](Self::clear).
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], [`Error::Local`].
    pub(super) fn check(&mut self, directory: &[u8]) -> Result<()> {
        for (name, kind) in self.entries(directory)? {
            if kind != FileType::Directory || self.is_left_alone(directory, &name) {
                continue;
            }
            let name = below(directory, &name);
            if self.is_listed(&name, Kind::Directory) {
                self.check(&name)?;
            } else {
                self.check_removed(directory, &name)?;
            }
        }
        Ok(())
    }

    fn check_removed(&mut self, above: &[u8], directory: &[u8]) -> Result<()> {
        let path = self.root.path_of(directory);
        let mut device = |name: &[u8]| self.root.device(name).map_err(Error::local("read", &path));
        if device(above)? != device(directory)? {
            return Err(Error::Refused(Refusal::destination(
                format!("{} is the top directory of a file system, and isn't in the backup", path.display()),
                "unmount it first",
            )));
        }
        for (name, kind) in self.entries(directory)? {
            if name == REPOSITORY {
                return Err(Error::Refused(Refusal::destination(
                    format!("{} contains a repository, and isn't in the backup", path.display()),
                    "move it out of the directory that is restored into",
                )));
            }
            if kind == FileType::Directory {
                self.check_removed(directory, &below(directory, &name))?;
            }
        }
        Ok(())
    }

    /// Removes from the subdirectory `directory`, which is empty for the directory itself, everything that isn't listed
    /// as what it is.
    pub(super) fn clear(&mut self, directory: &[u8]) -> Result<()> {
        for (name, kind) in self.entries(directory)? {
            if self.is_left_alone(directory, &name) {
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

    /// Whether a name in `directory` isn't the cluster's, or says that a server was started meanwhile.
    fn is_left_alone(&self, directory: &[u8], name: &[u8]) -> bool {
        let is_foreign = match self.scope {
            Scope::Tablespace(tablespaces) => !tablespaces.may_hold(name),
            Scope::Data { .. } => name == PID_FILE,
            Scope::Wal(_) => false,
        };
        name == LOST_AND_FOUND || (directory.is_empty() && (is_foreign || name == MARKER))
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
