//! Walks through a directory in bounded memory. Listings look for objects, the sweep for files of uploads.

use std::{
    fs::{self, DirEntry, Metadata, ReadDir},
    io,
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use object_store::path::Path;

use super::{error::Error, root::Root};

/// Whether a file's name is that of an upload in progress or of a killed one.
pub(super) fn is_staged(name: &str) -> bool {
    unstaged(name).is_some()
}

/// Returns the final name of an upload's file. None if it isn't one.
pub(super) fn unstaged(name: &str) -> Option<&str> {
    let (name, id) = name.rsplit_once('#')?;
    (!id.is_empty() && id.bytes().all(|c| c.is_ascii_digit())).then_some(name)
}

/// The files that a walk looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Files with their final names.
    Objects,
    /// The files of uploads, in progress or crashed.
    Staged,
}

/// A file in a directory.
#[derive(Debug)]
pub(super) struct FoundFile {
    /// The path from the root.
    pub(super) location: Path,
    entry: DirEntry,
}

impl FoundFile {
    /// Returns the metadata of the file, or of the file that a link leads to. None if it no longer exists or isn't a
    /// regular file.
    pub(super) fn metadata(&self) -> Result<Option<Metadata>, Error> {
        let looked = match self.entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(self.entry.path()),
            _ => self.entry.metadata(),
        };
        match looked {
            Ok(metadata) => Ok(metadata.is_file().then_some(metadata)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.unlisted(source)),
        }
    }

    /// When the file was last written to.
    pub(super) fn modified(&self, metadata: &Metadata) -> Result<SystemTime, Error> {
        metadata.modified().map_err(|source| self.unlisted(source))
    }

    fn unlisted(&self, source: io::Error) -> Error {
        Error::List { path: self.entry.path(), source }
    }
}

/// The largest number of files in a batch, which makes the cost of passing it between threads negligible.
const BATCH: usize = 4096;

/// The largest number of directories that the files of a batch come from. Each keeps a file descriptor open until all
/// of its files have been examined.
const DIRECTORIES: usize = 4;

/// The directory in which fsck puts recovered files, at the top of a file system. Only root can read it, and it
/// contains nothing of the repository.
const LOST_AND_FOUND: &str = "lost+found";

/// Finds the wanted files below a directory, unordered.
///
/// It skips names that no object can have, and doesn't follow links to directories. It also skips directories that this
/// user may not read, except the one that was requested, and those whose names only a repository uses.
#[derive(Debug)]
pub(super) struct Walk {
    root: Arc<Root>,
    wanted: Wanted,
    prefix: Path,
    waiting: Vec<(PathBuf, Path)>,
    reading: Option<(ReadDir, Path)>,
    /// The number of directories opened since the last batch.
    begun: usize,
}

impl Walk {
    /// Begins at the directory `prefix` of `root`. A missing one counts as empty.
    pub(super) fn new(root: &Arc<Root>, wanted: Wanted, prefix: Option<&Path>) -> Self {
        let prefix = prefix.cloned().unwrap_or_default();
        let dir = root.path().join(prefix.as_ref());
        let waiting = vec![(dir, prefix.clone())];
        Self { root: Arc::clone(root), wanted, prefix, waiting, reading: None, begun: 0 }
    }

    /// Returns the next files; none after the last one. It holds few file descriptors, however many directories there
    /// are.
    pub(super) fn next_batch(&mut self) -> Result<Vec<FoundFile>, Error> {
        let mut batch = Vec::new();
        self.begun = 0;
        while batch.len() < BATCH && (self.begun < DIRECTORIES || batch.is_empty()) {
            match self.next() {
                Some(found) => batch.push(found?),
                None => break,
            }
        }
        Ok(batch)
    }

    /// Opens the next directory. None after the last one.
    fn descend(&mut self) -> Option<Result<(), Error>> {
        let (path, location) = self.waiting.pop()?;
        let entries = fs::read_dir(&path);
        // Checked last: an empty directory is proof only if it belongs to the repository.
        if let Err(vanished) = self.root.check() {
            return Some(Err(vanished));
        }
        Some(match entries {
            Ok(entries) => {
                self.reading = Some((entries, location));
                self.begun += 1;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && self.is_foreign(&location) => {
                Ok(())
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(())
            }
            Err(source) => Err(Error::List { path, source }),
        })
    }

    /// Whether a directory can't belong to a repository, whose directories begin with three dots.
    fn is_foreign(&self, location: &Path) -> bool {
        *location != self.prefix && !location.as_ref().starts_with("...")
    }

    /// Queues a directory; returns a file of the wanted kind.
    fn see(&mut self, entry: DirEntry, parent: &Path) -> Result<Option<FoundFile>, Error> {
        let kind = entry.file_type().map_err(|source| Error::List { path: entry.path(), source })?;
        let Ok(name) = entry.file_name().into_string() else { return Ok(None) };
        // First of all, for speed: a sweep passes over 100,000 objects.
        if !kind.is_dir() && is_staged(&name) != (self.wanted == Wanted::Staged) {
            return Ok(None);
        }
        let location = if parent.is_root() { name } else { format!("{parent}/{name}") };
        let Ok(location) = Path::parse(location) else { return Ok(None) };
        if kind.is_dir() && location.as_ref() == LOST_AND_FOUND {
            return Ok(None);
        }
        if kind.is_dir() {
            self.waiting.push((entry.path(), location));
            return Ok(None);
        }
        Ok(Some(FoundFile { location, entry }))
    }
}

impl Iterator for Walk {
    type Item = Result<FoundFile, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((mut entries, parent)) = self.reading.take() else {
                match self.descend()? {
                    Ok(()) => continue,
                    Err(error) => return Some(Err(error)),
                }
            };
            let Some(entry) = entries.next() else { continue };
            let seen = match entry {
                Ok(entry) => self.see(entry, &parent).transpose(),
                Err(source) => {
                    Some(Err(Error::List { path: self.root.path().join(parent.as_ref()), source }))
                }
            };
            self.reading = Some((entries, parent));
            if seen.is_some() {
                return seen;
            }
        }
    }
}
