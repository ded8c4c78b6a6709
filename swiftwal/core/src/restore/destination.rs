//! The directories that a restore fills: empty at first, and empty again if it fails.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown, fchown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::tablespaces::Tablespaces;
use crate::{Error, Result};

/// The user and group that everything shall belong to.
pub(super) type Owner = (u32, u32);

/// The data directory and the tablespaces' directories. Dropped before [`keep`](Self::keep), it removes what was
/// written into them, and those it made itself.
#[derive(Debug)]
pub(super) struct Destination {
    directories: Vec<Directory>,
    kept: AtomicBool,
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    was_absent: bool,
    /// Set where this program runs as root.
    owner: Option<Owner>,
}

impl Destination {
    /// Takes the directories, which must be empty or absent.
    pub(super) fn prepare(root: &Path, tablespaces: &Tablespaces) -> Result<Arc<Self>> {
        let places =
            || std::iter::once(root).chain(tablespaces.iter().map(|space| space.directory.as_path()));
        for place in places() {
            refuse_content(place)?;
        }
        let mut destination = Self { directories: Vec::new(), kept: AtomicBool::new(false) };
        for place in places() {
            destination.directories.push(Directory::take(place)?);
        }
        Ok(Arc::new(destination))
    }

    pub(super) fn root(&self) -> &Path {
        self.directories.first().map_or(Path::new("."), |root| &root.path)
    }

    /// Who shall own what is written.
    pub(super) fn owner(&self) -> Option<Owner> {
        self.directories.first().and_then(|root| root.owner)
    }

    /// Writes a file of the data directory.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.put(name, content, OpenOptions::new().create(true).write(true).truncate(true))
    }

    /// Adds to a file of the data directory, which may be absent.
    pub(super) fn append(&self, name: &str, content: &[u8]) -> Result<()> {
        self.put(name, content, OpenOptions::new().create(true).append(true))
    }

    fn put(&self, name: &str, content: &[u8], options: &mut OpenOptions) -> Result<()> {
        let path = self.root().join(name);
        let mut put = || {
            let mut file = options.mode(0o600).open(&path)?;
            give(&file, self.owner())?;
            file.write_all(content)
        };
        put().map_err(Error::local("write", &path))
    }

    /// Makes everything that was written durable: once for each file system instead of once for each file.
    pub(super) fn sync(&self) -> Result<()> {
        for directory in &self.directories {
            let sync = || {
                let opened = File::open(&directory.path)?;
                rustix::fs::syncfs(&opened)?;
                sync_parent(&directory.path)
            };
            sync().map_err(Error::local("make durable", &directory.path))?;
        }
        Ok(())
    }

    /// Writes the file without which PostgreSQL starts nothing, whole and durable.
    pub(super) fn publish_control(&self, content: &[u8]) -> Result<()> {
        let path = self.root().join("global/pg_control");
        let staged = self.root().join("global/pg_control.swiftwal");
        let publish = || {
            let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&staged)?;
            give(&file, self.owner())?;
            file.write_all(content)?;
            file.sync_all()?;
            crate::local::rename_durably(&staged, &path)
        };
        publish().map_err(Error::local("write", &path))
    }

    /// Everything is there: nothing is removed any more.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        for directory in &self.directories {
            if let Err(error) = directory.give_back() {
                tracing::warn!("can't remove what was restored into {}: {error}", directory.path.display());
            }
        }
    }
}

impl Directory {
    fn take(path: &Path) -> Result<Self> {
        let is_root = rustix::process::geteuid().is_root();
        let take = || {
            let was_absent = !path.try_exists()?;
            let parent = parent(path)?;
            let model = fs::metadata(if was_absent { &parent } else { path })?;
            let owner = is_root.then_some((model.uid(), model.gid()));
            if was_absent {
                DirBuilder::new().mode(0o700).create(path)?;
                if let Some((user, group)) = owner {
                    chown(path, Some(user), Some(group))?;
                }
            }
            Ok(Self { path: path.to_owned(), was_absent, owner })
        };
        take().map_err(Error::local("restore into", path))
    }

    fn give_back(&self) -> io::Result<()> {
        // pg_control first, so that even a kill in the middle leaves nothing that could be started.
        let _ = fs::remove_file(self.path.join("global/pg_control"));
        if self.was_absent {
            return fs::remove_dir_all(&self.path);
        }
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Gives a file to whom it shall belong.
pub(super) fn give(file: &File, owner: Option<Owner>) -> io::Result<()> {
    owner.map_or(Ok(()), |(user, group)| fchown(file, Some(user), Some(group)))
}

fn refuse_content(path: &Path) -> Result<()> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::local("restore into", path)(error)),
    };
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::Refused(format!(
            "{} is not empty; nothing is restored over what is there: give an empty or a new directory",
            path.display()
        ))),
    }
}

fn parent(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    Ok(absolute.parent().unwrap_or(&absolute).to_owned())
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(parent(path)?)?.sync_all()
}
