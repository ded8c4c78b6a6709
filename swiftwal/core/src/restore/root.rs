//! A directory that is written into, and never left: every name is resolved step by step from its opened directory,
//! and no link is followed. Whoever else may write there can't lead us elsewhere.

use std::{
    fs::{File, Permissions},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::{Error, Result};

/// The user and group that everything shall belong to.
pub(super) type Owner = (u32, u32);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An opened directory that a restore fills.
#[derive(Clone, Debug)]
pub(super) struct Root {
    path: PathBuf,
    opened: Arc<OwnedFd>,
    /// Set where this program runs as root.
    owner: Option<Owner>,
    /// The directory below that was used last: a tar goes through them one by one.
    recent: Option<(String, Arc<OwnedFd>)>,
}

impl Root {
    /// Opens the directory `path`, and gives it to whom everything in it shall belong.
    pub(super) fn open(path: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        give(&opened, owner)?;
        Ok(Self { path: path.to_owned(), opened: Arc::new(opened), owner, recent: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    pub(super) fn opened(&self) -> BorrowedFd<'_> {
        self.opened.as_fd()
    }

    /// Opens a file of the name `name` below, with these flags, and gives it its mode and owner.
    pub(super) fn file(&mut self, name: &str, flags: OFlags, mode: u32) -> Result<File> {
        let open = |root: &mut Self| {
            let (directory, file) = root.place(name)?;
            let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = File::from(rustix::fs::openat(&directory, file, flags, Mode::RUSR | Mode::WUSR)?);
            if flags.contains(OFlags::CREATE) && mode & 0o777 != 0o600 {
                file.set_permissions(Permissions::from_mode(mode & 0o777))?;
            }
            give(&file, root.owner)?;
            Ok(file)
        };
        open(self).map_err(Error::local("write", self.path.join(name)))
    }

    /// Makes a directory below; one that is there already gets the mode.
    pub(super) fn make_directory(&mut self, name: &str, mode: u32) -> Result<()> {
        let make = |root: &mut Self| {
            let (parent, directory) = root.place(name)?;
            match rustix::fs::mkdirat(&parent, directory, Mode::RWXU) {
                Err(rustix::io::Errno::EXIST) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            }
            let opened = rustix::fs::openat(&parent, directory, DIRECTORY, Mode::empty())?;
            rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode & 0o777))?;
            give(&opened, root.owner)
        };
        make(self).map_err(Error::local("write", self.path.join(name)))
    }

    /// Makes a symbolic link below.
    pub(super) fn make_link(&mut self, name: &str, target: &Path) -> Result<()> {
        let make = |root: &mut Self| {
            let (parent, link) = root.place(name)?;
            rustix::fs::symlinkat(target, &parent, link)?;
            let Some((user, group)) = root.owner else { return Ok(()) };
            let (user, group) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
            Ok(rustix::fs::chownat(&parent, link, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
        };
        make(self).map_err(Error::local("write", self.path.join(name)))
    }

    /// Gives a file below, whose content is durable, another name in the same directory: durably.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let rename = |root: &mut Self| {
            let (directory, old) = root.place(from)?;
            let (_, new) = root.place(to)?;
            rustix::fs::renameat(&directory, old, &directory, new)?;
            Ok(rustix::fs::fsync(&directory)?)
        };
        rename(self).map_err(Error::local("write", self.path.join(to)))
    }

    /// The directory in which `name` belongs, opened, and the last component.
    fn place<'a>(&mut self, name: &'a str) -> io::Result<(Arc<OwnedFd>, &'a str)> {
        let Some((directory, file)) = name.rsplit_once('/') else {
            return Ok((Arc::clone(&self.opened), component(name)?));
        };
        let file = component(file)?;
        if let Some((recent, opened)) = &self.recent
            && recent == directory
        {
            return Ok((Arc::clone(opened), file));
        }
        let mut opened = Arc::clone(&self.opened);
        for step in directory.split('/') {
            opened = Arc::new(rustix::fs::openat(&opened, component(step)?, DIRECTORY, Mode::empty())?);
        }
        self.recent = Some((directory.to_owned(), Arc::clone(&opened)));
        Ok((opened, file))
    }
}

/// A name that stays in its directory.
fn component(name: &str) -> io::Result<&str> {
    if matches!(name, "" | "." | "..") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name leads out of its directory"));
    }
    Ok(name)
}

fn give(file: impl AsFd, owner: Option<Owner>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| fchown(file, Some(user), Some(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::WRONLY);

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path(), None).unwrap();
        (directory, root)
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let (_directory, mut root) = root();
        for name in ["../x", "..", "a/../../x", "/etc/x", "", ".", "a//b"] {
            assert!(root.file(name, NEW, 0o600).is_err(), "{name}");
            assert!(root.make_directory(name, 0o700).is_err(), "{name}");
        }
    }

    #[test]
    fn no_link_is_followed_whether_in_the_middle_or_at_the_end() {
        let elsewhere = tempfile::tempdir().unwrap();
        let (_directory, mut root) = root();
        root.make_link("link", elsewhere.path()).unwrap();
        root.make_link("file", &elsewhere.path().join("target")).unwrap();
        assert!(root.file("link/x", NEW, 0o600).is_err());
        assert!(root.file("file", OFlags::CREATE | OFlags::WRONLY, 0o600).is_err());
        assert!(root.make_directory("link", 0o755).is_err());
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn files_and_directories_get_the_modes_they_had() {
        let (directory, mut root) = root();
        root.make_directory("base", 0o750).unwrap();
        root.file("base/1", NEW, 0o640).unwrap();
        let mode = |name| directory.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("base"), mode("base/1")), (0o750, 0o640));
    }
}
