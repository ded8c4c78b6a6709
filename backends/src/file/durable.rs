//! Makes objects and the directories above them durable.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use rustix::fs::{Mode, OFlags, open};

use swiftwal_core::open_regular_file;

use super::{error::Error, root::Root};

/// Flushes the names in a directory to disk.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    File::from(open(dir, flags, Mode::empty())?).sync_all()
}

/// Makes the object at `path` durable. Another process may have stored it without having flushed it yet.
pub(super) fn sync_object(root: &Root, path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or_else(|| root.path());
    let unflushed = |path: &Path| {
        let path = path.to_owned();
        |source| Error::Flush { path, source }
    };
    open_regular_file(path).and_then(|file| file.sync_all()).map_err(unflushed(path))?;
    sync(parent).map_err(unflushed(parent))
}

/// Holds the directories of an object that is about to be stored: they aren't removed while this value exists.
///
/// It has a shared lock on the root. A process that removes directories needs an exclusive one. On a file system
/// without locks, empty directories remain.
#[derive(Debug)]
#[must_use]
pub(super) struct Parents {
    _lock: Option<File>,
}

impl Parents {
    /// Creates the directories between `root` and `path`, and makes them durable, including existing ones, since
    /// another process may have created them without having flushed them yet. It never creates `root` itself.
    pub(super) fn make(root: &Root, path: &Path) -> Result<Self, Error> {
        root.check()?;
        let mut dirs: Vec<_> = root.between(path).collect();
        if dirs.is_empty() {
            return Ok(Self { _lock: None });
        }
        let lock = root.reopen().ok().filter(|root| root.lock_shared().is_ok());
        dirs.reverse();
        let mut parent = root.path();
        for dir in dirs {
            make_dir(dir).map_err(|source| Error::MakeDirectory { dir: dir.to_owned(), source })?;
            sync(parent).map_err(|source| Error::Flush { path: parent.to_owned(), source })?;
            parent = dir;
        }
        Ok(Self { _lock: lock })
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// Removes the empty ones of `dirs`, and the directories above them that are then empty, unless another process is
/// about to store something.
pub(super) fn remove_empty<'a>(root: &Root, dirs: impl IntoIterator<Item = &'a Path>) {
    let mut dirs = dirs.into_iter().filter(|dir| *dir != root.path()).peekable();
    let Some(_) = dirs.peek() else { return };
    let Ok(lock) = root.reopen() else { return };
    if lock.try_lock().is_err() {
        return;
    }
    for mut dir in dirs {
        while dir != root.path() && fs::remove_dir(dir).is_ok() {
            let Some(parent) = dir.parent() else { break };
            dir = parent;
        }
    }
}
