use std::{
    fs::{self, DirEntry, Metadata, ReadDir},
    io,
    path::PathBuf,
    sync::Arc,
    time::SystemTime,
};

use object_store::path::Path;

use super::{error::Error, root::Root};

/// Whether a file's name is that of an upload in progress, or of what a killed one left.
pub(super) fn is_staged(name: &str) -> bool {
    unstaged(name).is_some()
}

/// What an upload's file is to be called in the end; none if it isn't one.
pub(super) fn unstaged(name: &str) -> Option<&str> {
    let (name, id) = name.rsplit_once('#')?;
    (!id.is_empty() && id.bytes().all(|c| c.is_ascii_digit())).then_some(name)
}

/// Which files a walk looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those that have their final names.
    Objects,
    /// The files of uploads, in progress or crashed.
    Staged,
}

/// A file that was seen in a directory.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path from the root.
    pub(super) location: Path,
    entry: DirEntry,
}

impl Found {
    /// Looks at the file, or at what a link leads to. `None` if it's gone or is no plain file.
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

/// How many files a batch has at most: enough that handing them from thread to thread costs next to nothing.
const BATCH: usize = 4096;

/// From how many directories the files of a batch come at most. Each keeps a file descriptor open, as long as one of
/// its files hasn't been looked at.
const DIRECTORIES: usize = 4;

/// Where fsck puts what it finds, at the top of a file system. Only root can read it, and nothing there is ours.
const LOST_AND_FOUND: &str = "lost+found";

/// The wanted files below a directory, in no order.
///
/// Names that no object can have are left out. Links to directories are not followed. A directory that this user may
/// not read is skipped, unless its name is one of the repository's own or it is the one that was asked for.
#[derive(Debug)]
pub(super) struct Walk {
    root: Arc<Root>,
    wanted: Wanted,
    prefix: Path,
    waiting: Vec<(PathBuf, Path)>,
    reading: Option<(ReadDir, Path)>,
    /// How many directories were begun since the last batch.
    begun: usize,
}

impl Walk {
    /// Below the directory `prefix` of `root`; one that is absent is empty.
    pub(super) fn new(root: &Arc<Root>, wanted: Wanted, prefix: Option<&Path>) -> Self {
        let prefix = prefix.cloned().unwrap_or_default();
        let dir = root.path().join(prefix.as_ref());
        let waiting = vec![(dir, prefix.clone())];
        Self { root: Arc::clone(root), wanted, prefix, waiting, reading: None, begun: 0 }
    }

    /// The next files; none after the last one. It holds few file descriptors, however many directories there are.
    pub(super) fn next_batch(&mut self) -> Result<Vec<Found>, Error> {
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

    /// Begins to read the next directory. `None` after the last one.
    fn descend(&mut self) -> Option<Result<(), Error>> {
        let (path, location) = self.waiting.pop()?;
        let entries = fs::read_dir(&path);
        // Checked afterwards: an empty directory proves something only if it belongs to the repository.
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

    /// Whether a directory can't be one that a repository has. Its directories begin with three dots.
    fn is_foreign(&self, location: &Path) -> bool {
        *location != self.prefix && !location.as_ref().starts_with("...")
    }

    /// Takes note of a directory; a file of the wanted kind is what is looked for.
    fn see(&mut self, entry: DirEntry, parent: &Path) -> Result<Option<Found>, Error> {
        let kind = entry.file_type().map_err(|source| Error::List { path: entry.path(), source })?;
        let Ok(name) = entry.file_name().into_string() else { return Ok(None) };
        // Before anything is made of the name: a sweep passes over 100,000 objects.
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
        Ok(Some(Found { location, entry }))
    }
}

impl Iterator for Walk {
    type Item = Result<Found, Error>;

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
