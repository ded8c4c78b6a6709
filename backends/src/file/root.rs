//! The directory of a repository, and the check that it is still the one that was opened.

use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, fstat, open, stat};

use super::error::Error;

/// The directory of a repository. It is held open, so that another directory under the same path is noticed.
///
/// When a disk is unmounted, its mount point is an empty directory, or the directory is missing. Then no object may be
/// reported as missing, and nothing may be written.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    held: OwnedFd,
}

impl Root {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(dir)?;
        // `PATH` opens a directory that this user can't list: objects can still be opened by name.
        let held = open_directory(&path, OFlags::PATH)?;
        Ok(Self { path, held })
    }

    /// Opens the directory again, to be locked.
    pub(super) fn reopen(&self) -> io::Result<File> {
        Ok(open_directory(&self.path, OFlags::RDONLY)?.into())
    }

    /// Returns the directory's path, which is absolute and contains no links.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Fails unless the path still leads to the directory that was opened.
    pub(super) fn check(&self) -> Result<(), Error> {
        let vanished = |source| Error::Vanished { dir: self.path.clone(), source };
        let there = stat(&self.path).map_err(|errno| vanished(Some(errno.into())))?;
        let held = fstat(&self.held).map_err(|errno| vanished(Some(errno.into())))?;
        let same = (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino);
        same.then_some(()).ok_or_else(|| vanished(None))
    }

    /// Fails unless nothing is stored under `path`.
    pub(super) fn check_absent(&self, path: &Path) -> Result<(), Error> {
        self.check()?;
        let link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if link { Err(Error::DanglingLink { path: path.to_owned() }) } else { Ok(()) }
    }

    /// Returns the directories between this one and `path`, nearest to `path` first.
    pub(super) fn between<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        path.ancestors().skip(1).take_while(|dir| *dir != self.path)
    }
}

fn open_directory(path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    Ok(open(path, access | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
