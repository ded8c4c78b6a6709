//! The directories that a restore fills: empty at first, and empty again if it fails.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::OFlags;

use super::{
    root::{Owner, Root},
    tablespaces::Tablespaces,
};
use crate::{Error, Result};

/// The data directory and the tablespaces' directories. Dropped before [`keep`](Self::keep), it removes what was
/// written into them, and those it made itself; the others have the mode again that they had.
#[derive(Debug)]
pub(super) struct Destination {
    directories: Vec<Directory>,
    kept: AtomicBool,
}

#[derive(Debug)]
struct Directory {
    root: Root,
    /// None for the data directory.
    tablespace: Option<u32>,
    was_absent: bool,
    /// The mode it had, if that was changed.
    mode: Option<Permissions>,
}

impl Destination {
    /// Takes the directories, which must be empty or absent.
    ///
    /// Run by root, all of them go to the owner of the data directory, or of its parent if it is absent.
    pub(super) fn prepare(data: &Path, tablespaces: &Tablespaces) -> Result<Arc<Self>> {
        let spaces = tablespaces.iter().map(|space| (space.directory.as_path(), Some(space.oid)));
        let places: Vec<_> = std::iter::once((data, None)).chain(spaces).collect();
        refuse_overlap(&places)?;
        for (place, _) in &places {
            refuse_content(place)?;
        }
        let owner = owner(data).map_err(Error::local("restore into", data))?;
        let mut destination = Self { directories: Vec::new(), kept: AtomicBool::new(false) };
        for (place, tablespace) in places {
            let taken =
                Directory::take(place, tablespace, owner).map_err(Error::local("restore into", place))?;
            destination.directories.push(taken);
        }
        Ok(Arc::new(destination))
    }

    /// The directory of a tablespace, or the data directory.
    pub(super) fn root(&self, tablespace: Option<u32>) -> Result<Root> {
        let directory = self.directories.iter().find(|directory| directory.tablespace == tablespace);
        let root = directory.map(|directory| directory.root.clone());
        root.ok_or_else(|| Error::damaged("the commit record", "it has a tablespace without a place"))
    }

    /// Writes a file of the data directory.
    pub(super) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.put(name, content, OFlags::TRUNC)
    }

    /// Adds to a file of the data directory, which may be absent.
    pub(super) fn append(&self, name: &str, content: &[u8]) -> Result<()> {
        self.put(name, content, OFlags::APPEND)
    }

    fn put(&self, name: &str, content: &[u8], how: OFlags) -> Result<()> {
        let mut root = self.root(None)?;
        let mut file = root.file(name, OFlags::CREATE | OFlags::WRONLY | how, 0o600)?;
        file.write_all(content).map_err(Error::local("write", root.path().join(name)))
    }

    /// Makes everything that was written durable: once for each file system instead of once for each file.
    pub(super) fn sync(&self) -> Result<()> {
        for Directory { root, .. } in &self.directories {
            let sync = || {
                rustix::fs::syncfs(root.opened())?;
                File::open(parent(root.path())?)?.sync_all()
            };
            sync().map_err(Error::local("make durable", root.path()))?;
        }
        Ok(())
    }

    /// Writes the file without which PostgreSQL starts nothing, whole and durable.
    pub(super) fn publish_control(&self, content: &[u8]) -> Result<()> {
        const STAGED: &str = "global/pg_control.swiftwal";
        let mut root = self.root(None)?;
        let mut file = root.file(STAGED, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY, 0o600)?;
        let written = file.write_all(content).and_then(|()| file.sync_all());
        written.map_err(Error::local("write", root.path().join(STAGED)))?;
        root.rename(STAGED, CONTROL)
    }

    /// Everything is there: nothing is removed any more.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

/// The file without which PostgreSQL starts nothing.
pub(super) const CONTROL: &str = "global/pg_control";

impl Drop for Destination {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Relaxed) {
            return;
        }
        for directory in &self.directories {
            if let Err(error) = directory.give_back() {
                let path = directory.root.path().display();
                tracing::warn!(
                    "can't remove what was restored into {path}: {error}; remove it before you try again"
                );
            }
        }
    }
}

impl Directory {
    fn take(path: &Path, tablespace: Option<u32>, owner: Option<Owner>) -> io::Result<Self> {
        let was_absent = !path.try_exists()?;
        if was_absent {
            DirBuilder::new().mode(0o700).create(path)?;
        }
        let root = Root::open(path, owner)?;
        // PostgreSQL starts in no data directory that others can read.
        let mode = fs::metadata(path)?.permissions();
        let mode = (tablespace.is_none() && mode.mode() & 0o027 != 0).then_some(mode);
        if mode.is_some() {
            rustix::fs::fchmod(root.opened(), rustix::fs::Mode::RWXU)?;
        }
        Ok(Self { root, tablespace, was_absent, mode })
    }

    fn give_back(&self) -> io::Result<()> {
        let path = self.root.path();
        // pg_control first, so that even a kill in the middle leaves nothing that could be started.
        let _ = fs::remove_file(path.join(CONTROL));
        if self.was_absent {
            return fs::remove_dir_all(path);
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        self.mode.clone().map_or(Ok(()), |mode| fs::set_permissions(path, mode))
    }
}

/// Who shall own everything, where this program runs as root.
fn owner(data: &Path) -> io::Result<Option<Owner>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let model = if data.try_exists()? { data.to_owned() } else { parent(data)? };
    let model = fs::metadata(model)?;
    Ok(Some((model.uid(), model.gid())))
}

/// No directory may be, or lie in, another one.
fn refuse_overlap(places: &[(&Path, Option<u32>)]) -> Result<()> {
    for (number, (place, _)) in places.iter().enumerate() {
        let others = places.iter().enumerate().filter(|(other, _)| *other != number);
        for (_, (other, _)) in others {
            let inside = std::path::absolute(place)
                .and_then(|place| Ok(place.starts_with(std::path::absolute(other)?)));
            if inside.map_err(Error::local("restore into", *place))? {
                return Err(Error::Refused(format!(
                    "{} lies in {}, and both would be restored into: use --tablespace-mapping to keep them apart",
                    place.display(),
                    other.display()
                )));
            }
        }
    }
    Ok(())
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
