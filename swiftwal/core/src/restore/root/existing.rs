//! The files that a directory contained before the restore: they are kept or removed, and no link is followed.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    sync::Arc,
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use super::{
    super::{created::Kind, entries::entries},
    DIRECTORY, Root, give,
};
use crate::error::{Error, Result};

impl Root {
    /// Returns the names in a subdirectory, or in the directory itself if `name` is empty, with their types.
    pub(in crate::restore) fn entries(&mut self, name: &[u8]) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        let opened = if name.is_empty() {
            Arc::clone(&self.opened)
        } else {
            let (parent, last) = self.place(name)?;
            Arc::new(rustix::fs::openat(&parent, last, DIRECTORY, Mode::empty())?)
        };
        entries(opened)
    }

    /// Returns the device of a subdirectory, or of the directory itself if `name` is empty.
    pub(in crate::restore) fn device(&mut self, name: &[u8]) -> io::Result<u64> {
        let found = if name.is_empty() {
            rustix::fs::fstat(&self.opened)?
        } else {
            let (parent, last) = self.place(name)?;
            rustix::fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW)?
        };
        Ok(found.st_dev)
    }

    /// Whether something has this name, even a link that leads nowhere.
    pub(in crate::restore) fn exists(&mut self, name: &[u8]) -> bool {
        let found = self
            .place(name)
            .and_then(|(parent, last)| Ok(rustix::fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW)?));
        found.is_ok()
    }

    /// Returns the target of a symbolic link; none if there is no such link.
    pub(in crate::restore) fn link_target(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        let (parent, last) = self.place(name).ok()?;
        Some(rustix::fs::readlinkat(&parent, last, Vec::new()).ok()?.into_bytes())
    }

    /// Removes a file or link, or an empty directory. It isn't an error if it doesn't exist.
    pub(in crate::restore) fn remove_existing(&mut self, name: &[u8], kind: Kind) -> Result<()> {
        let flags = if kind == Kind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        let removed =
            self.place(name).and_then(|(parent, last)| Ok(rustix::fs::unlinkat(&parent, last, flags)?));
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::local("remove", self.path_of(name))(error))
            }
            _ => Ok(()),
        }
    }

    /// Opens a regular file, to read it.
    pub(in crate::restore) fn open_existing(&mut self, name: &[u8]) -> io::Result<File> {
        let (parent, last) = self.place(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&parent, last, flags, Mode::empty())?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Counts an existing file among those that this restore created, and gives it the mode and the owner of such.
    pub(in crate::restore) fn keep_existing(&mut self, name: &[u8], file: &File, mode: u32) -> Result<()> {
        let keep = |root: &Self| {
            if file.metadata()?.permissions().mode() & 0o7777 != mode & 0o777 {
                file.set_permissions(Permissions::from_mode(mode & 0o777))?;
            }
            give(file, root.owner)?;
            root.created().add(name, Kind::File)
        };
        keep(self).map_err(Error::local("change the mode or owner of", self.path_of(name)))
    }

    /// Makes the names in the directory of `name` durable.
    pub(in crate::restore) fn sync_names(&mut self, name: &[u8]) -> Result<()> {
        let synced = self.place(name).and_then(|(parent, _)| Ok(rustix::fs::fsync(&parent)?));
        synced.map_err(Error::local("make durable", self.path_of(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_neither_listed_as_their_targets_nor_opened_nor_followed_to_remove_something() {
        let (scratch, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("precious");
        std::fs::write(&target, "x").unwrap();
        std::os::unix::fs::symlink(&target, scratch.path().join("file")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), scratch.path().join("directory")).unwrap();
        let mut root = Root::open(scratch.path(), None).unwrap();
        let mut entries = root.entries(b"").unwrap();
        entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        let links = [(b"directory".to_vec(), FileType::Symlink), (b"file".to_vec(), FileType::Symlink)];
        assert_eq!(entries, links);
        assert!(root.entries(b"directory").is_err());
        assert!(root.open_existing(b"file").is_err() && root.open_existing(b"directory/precious").is_err());
        assert!(root.remove_existing(b"directory/precious", Kind::File).is_err());
        assert_eq!(root.link_target(b"file").unwrap(), target.as_os_str().as_encoded_bytes());
        for name in [&b"file"[..], b"directory", b"absent"] {
            root.remove_existing(name, Kind::File).unwrap();
            assert!(!root.exists(name));
        }
        assert_eq!(std::fs::read(&target).unwrap(), b"x");
    }

    #[test]
    fn a_file_that_is_kept_gets_its_mode_and_counts_as_created() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("a");
        std::fs::write(&path, "x").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o4755)).unwrap();
        let mut root = Root::open(scratch.path(), None).unwrap();
        let file = root.open_existing(b"a").unwrap();
        root.keep_existing(b"a", &file, 0o100_640).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(root.has_created(b"a"));
    }
}
