//! A directory that a restore writes into. It writes nowhere else: every name is resolved step by step from the opened
//! directory, and no link is followed. Another process that writes there can't redirect a restore, and nothing that
//! such a process has created is overwritten or removed.

mod existing;
mod removal;

use std::{
    ffi::OsStr,
    fs::{File, Permissions},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, fchown},
        },
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    fs::{AtFlags, Dir, Mode, OFlags, RenameFlags},
    io::Errno,
};
use swiftwal_postgres::printable;

use super::{
    created::{CreatedNames, Kind},
    member_name::{component, path_of, split},
};
use crate::error::{Error, Refusal, Result};

/// The owner and group of everything that is restored.
pub(super) type Owner = (u32, u32);

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NEW_FILE: OFlags =
    OFlags::CREATE.union(OFlags::EXCL).union(OFlags::WRONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An opened directory that a restore fills. Clones record what they create in the same place.
#[derive(Clone, Debug)]
pub(super) struct Root {
    path: PathBuf,
    opened: Arc<OwnedFd>,
    /// Set if this program runs as root.
    owner: Option<Owner>,
    created: Arc<Mutex<CreatedNames>>,
    /// Whether directories that existed before are restored into.
    reuses: bool,
    /// The subdirectory that was used last: a tar contains them one after the other.
    recent: Option<(Vec<u8>, Arc<OwnedFd>)>,
}

impl Root {
    /// Opens the directory `path`; what is created in it belongs to `owner`.
    pub(super) fn open(path: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty())?;
        let created = Arc::new(Mutex::new(CreatedNames::new(path)));
        Ok(Self {
            path: path.to_owned(),
            opened: Arc::new(opened),
            owner,
            created,
            reuses: false,
            recent: None,
        })
    }

    /// Allows restoring into subdirectories that existed before.
    pub(super) fn reuse(&mut self) {
        self.reuses = true;
    }

    pub(super) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(path_of(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the directory itself.
    pub(super) fn opened(&self) -> BorrowedFd<'_> {
        self.opened.as_fd()
    }

    /// Gives the directory itself the owner of everything in it.
    pub(super) fn give(&self) -> io::Result<()> {
        give(&self.opened, self.owner)
    }

    /// Creates a file below the directory.
    pub(super) fn create_file(&mut self, name: &[u8], mode: u32) -> Result<File> {
        let create = |root: &mut Self| {
            let (directory, last) = root.place(name)?;
            let file = rustix::fs::openat(&directory, last, NEW_FILE, Mode::RUSR | Mode::WUSR)?;
            root.note(&directory, name, Kind::File)?;
            let file = File::from(file);
            if mode & 0o777 != 0o600 {
                file.set_permissions(Permissions::from_mode(mode & 0o777))?;
            }
            give(&file, root.owner)?;
            Ok(file)
        };
        create(self).map_err(|error| self.failed(name, error))
    }

    /// Opens a file below the directory to append to it: one that was created here, or a new one.
    pub(super) fn append_file(&mut self, name: &[u8]) -> Result<File> {
        if self.has_created(name) {
            self.open_created(name, OFlags::APPEND)
        } else {
            self.create_file(name, 0o600)
        }
    }

    /// Opens a file below the directory that was created here, and empties it.
    pub(super) fn rewrite_file(&mut self, name: &[u8]) -> Result<File> {
        self.open_created(name, OFlags::TRUNC)
    }

    /// Opens a file below the directory that was created here, to read it and to write into it.
    pub(super) fn open_file(&mut self, name: &[u8]) -> Result<File> {
        let open = |root: &mut Self| {
            let (directory, last) = root.place(name)?;
            let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            Ok(File::from(rustix::fs::openat(&directory, last, flags, Mode::empty())?))
        };
        open(self).map_err(|error| self.failed(name, error))
    }

    fn open_created(&mut self, name: &[u8], how: OFlags) -> Result<File> {
        let open = |root: &mut Self| {
            let (directory, last) = root.place(name)?;
            let flags = how | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Ok(File::from(rustix::fs::openat(&directory, last, flags, Mode::empty())?))
        };
        open(self).map_err(|error| self.failed(name, error))
    }

    /// Creates a subdirectory; one that was created here before gets the mode.
    pub(super) fn create_directory(&mut self, name: &[u8], mode: u32) -> Result<()> {
        let make = |root: &mut Self| {
            let (parent, last) = root.place(name)?;
            match rustix::fs::mkdirat(&parent, last, Mode::RWXU) {
                Ok(()) => root.note(&parent, name, Kind::Directory)?,
                Err(Errno::EXIST) if root.reuses => root.created().add(name, Kind::Directory)?,
                Err(Errno::EXIST) if root.created().contains(name) => {}
                Err(error) => return Err(error.into()),
            }
            let opened = rustix::fs::openat(&parent, last, DIRECTORY, Mode::empty())?;
            rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode & 0o777))?;
            give(&opened, root.owner)
        };
        make(self).map_err(|error| self.failed(name, error))
    }

    /// Creates a symbolic link below the directory.
    pub(super) fn create_link(&mut self, name: &[u8], target: &Path) -> Result<()> {
        let make = |root: &mut Self| {
            let (parent, last) = root.place(name)?;
            rustix::fs::symlinkat(target, &parent, last)?;
            root.note(&parent, name, Kind::File)?;
            let Some((user, group)) = root.owner else { return Ok(()) };
            let (user, group) = (rustix::process::Uid::from_raw(user), rustix::process::Gid::from_raw(group));
            Ok(rustix::fs::chownat(&parent, last, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
        };
        make(self).map_err(|error| self.failed(name, error))
    }

    /// Renames a file that was created here and is durable, within its directory: durably, and without replacing
    /// another.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let rename = |root: &mut Self| {
            let (directory, old) = root.place(from)?;
            let (_, new) = root.place(to)?;
            match rustix::fs::renameat_with(&directory, old, &directory, new, RenameFlags::NOREPLACE) {
                // Some file systems, such as NFS, don't support that.
                Err(Errno::INVAL | Errno::NOSYS) => {
                    rustix::fs::linkat(&directory, old, &directory, new, AtFlags::empty())?;
                    rustix::fs::unlinkat(&directory, old, AtFlags::empty())?;
                }
                renamed => renamed?,
            }
            root.note(&directory, to, Kind::File)?;
            Ok(rustix::fs::fsync(&directory)?)
        };
        rename(self).map_err(|error| self.failed(to, error))
    }

    /// Renames a file that is durable, within its directory: durably, and in place of another.
    pub(super) fn replace(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let replace = |root: &mut Self| {
            let (directory, old) = root.place(from)?;
            let (_, new) = root.place(to)?;
            rustix::fs::renameat(&directory, old, &directory, new)?;
            root.note(&directory, to, Kind::File)?;
            Ok(rustix::fs::fsync(&directory)?)
        };
        replace(self).map_err(|error| self.failed(to, error))
    }

    /// Returns the content of a regular file below the directory; none if it is missing or larger than `most_bytes`.
    pub(super) fn read(&mut self, name: &[u8], most_bytes: u64) -> Option<Vec<u8>> {
        let (directory, last) = self.place(name).ok()?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&directory, last, flags, Mode::empty()).ok()?);
        let is_wanted = file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= most_bytes);
        let mut content = Vec::new();
        let read = is_wanted.then(|| file.take(most_bytes).read_to_end(&mut content));
        read.is_some_and(|read| read.is_ok()).then_some(content)
    }

    /// Returns every name in the directory itself.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.opened)? {
            let name = entry?.file_name().to_bytes().to_owned();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Returns the names in the directory itself that weren't created here.
    pub(super) fn foreign_names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = self.names()?;
        self.created().retain_foreign(&mut names);
        // NFS lists an open file without a name, such as that of the created names, under such a name.
        names.retain(|name| !name.starts_with(b".nfs"));
        Ok(names)
    }

    /// Opens the directory that contains `name`, and returns it with the last component.
    fn place<'a>(&mut self, name: &'a [u8]) -> io::Result<(Arc<OwnedFd>, &'a OsStr)> {
        let (directory, last) = split(name);
        let last = component(last)?;
        if directory.is_empty() && !name.starts_with(b"/") {
            return Ok((Arc::clone(&self.opened), last));
        }
        if let Some((recent, opened)) = &self.recent
            && recent == directory
        {
            return Ok((Arc::clone(opened), last));
        }
        let mut opened = Arc::clone(&self.opened);
        for step in directory.split(|byte| *byte == b'/') {
            opened = Arc::new(rustix::fs::openat(&opened, component(step)?, DIRECTORY, Mode::empty())?);
        }
        self.recent = Some((directory.to_owned(), Arc::clone(&opened)));
        Ok((opened, last))
    }

    fn created(&self) -> MutexGuard<'_, CreatedNames> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the error if `name` couldn't be created.
    fn failed(&self, name: &[u8], error: io::Error) -> Error {
        let path = self.path_of(name);
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Refusal::Appeared { path: printable(path.as_os_str().as_bytes()).to_string() }.into();
        }
        Error::local("write", path)(error)
    }

    /// Whether `name` was created here.
    pub(super) fn has_created(&self, name: &[u8]) -> bool {
        self.created().contains(name)
    }
}

fn give(file: impl AsFd, owner: Option<Owner>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| fchown(file, Some(user), Some(group)))
}

#[cfg(test)]
mod tests {
    use super::{super::member_name::stays_inside, *};

    fn root() -> (tempfile::TempDir, Root) {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path(), None).unwrap();
        (directory, root)
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        let (_directory, mut root) = root();
        for name in [&b"../x"[..], b"..", b"a/../../x", b"/etc/x", b"/x", b"", b".", b"a//b", b"a\0b"] {
            assert!(!stays_inside(name));
            assert!(root.create_file(name, 0o600).is_err(), "{}", printable(name));
            assert!(root.create_directory(name, 0o700).is_err(), "{}", printable(name));
        }
    }

    #[test]
    fn no_link_is_followed_whether_in_the_middle_or_at_the_end() {
        let elsewhere = tempfile::tempdir().unwrap();
        let (_directory, mut root) = root();
        root.create_link(b"link", elsewhere.path()).unwrap();
        root.create_link(b"file", &elsewhere.path().join("target")).unwrap();
        assert!(root.create_file(b"link/x", 0o600).is_err());
        assert!(root.append_file(b"file").is_err());
        assert!(root.create_directory(b"link", 0o755).is_err());
        assert_eq!(elsewhere.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn files_and_directories_get_the_modes_they_had() {
        let (directory, mut root) = root();
        root.create_directory(b"base", 0o750).unwrap();
        root.create_file(b"base/1", 0o640).unwrap();
        let mode = |name| directory.path().join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("base"), mode("base/1")), (0o750, 0o640));
    }

    #[test]
    fn what_another_process_made_is_neither_overwritten_nor_removed() {
        let (directory, mut root) = root();
        root.create_directory(b"base", 0o700).unwrap();
        root.create_file(b"base/1", 0o600).unwrap();
        root.create_file(b"base/staged", 0o600).unwrap();
        root.create_file(b"conf", 0o600).unwrap();
        let nfs = directory.path().join(".nfs0000000000a1b2c3");
        std::fs::write(&nfs, "").unwrap();
        let foreign = [directory.path().join("base/2"), directory.path().join("standby.signal")];
        for path in &foreign {
            std::fs::write(path, "foreign").unwrap();
        }
        std::fs::create_dir(directory.path().join("pg_wal")).unwrap();
        assert!(root.create_file(b"base/2", 0o600).unwrap_err().to_string().contains("appeared"));
        assert!(root.append_file(b"standby.signal").is_err());
        assert!(root.rename(b"base/staged", b"base/2").is_err());
        assert!(root.create_directory(b"pg_wal", 0o700).is_err());
        assert_eq!(root.foreign_names().unwrap().len(), 2);
        std::fs::remove_file(nfs).unwrap();

        assert!(root.remove_created().is_err(), "base isn't empty");
        for path in &foreign {
            assert_eq!(std::fs::read(path).unwrap(), b"foreign");
        }
        let mut left = root.names().unwrap();
        left.sort();
        assert_eq!(left, [&b"base"[..], b"pg_wal", b"standby.signal"]);
        assert_eq!(directory.path().join("base").read_dir().unwrap().count(), 1);
    }
}
