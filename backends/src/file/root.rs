use std::{
    fs::{self, File},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags, fstat, open, stat};

use super::error::Error;

/// The directory of a repository, held open so that it can be told from another under the same path.
///
/// A disk that is unmounted leaves an empty directory, or none, where the repository was. Nothing may be
/// concluded from what is missing there, and nothing may be written there.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    held: OwnedFd,
}

impl Root {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(dir)?;
        // A directory may be held by one who can't list it: what is asked for by its name is there all the same.
        let held = open_directory(&path, OFlags::PATH)?;
        Ok(Self { path, held })
    }

    /// The directory opened once more, to be locked.
    pub(super) fn reopen(&self) -> io::Result<File> {
        Ok(open_directory(&self.path, OFlags::RDONLY)?.into())
    }

    /// The directory's path, absolute and free of links.
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

    /// Fails unless nothing at all is stored under `path`.
    pub(super) fn check_absent(&self, path: &Path) -> Result<(), Error> {
        self.check()?;
        let link = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
        if link { Err(Error::DanglingLink { path: path.to_owned() }) } else { Ok(()) }
    }

    /// The directories between this one and `path`, the nearest to `path` first.
    pub(super) fn between<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Path> {
        path.ancestors().skip(1).take_while(|dir| *dir != self.path)
    }
}

fn open_directory(path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    Ok(open(path, access | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}
