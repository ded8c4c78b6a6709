//! Deletes files, and makes the deletions durable. Called by the store and by the sweep.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    durable::{remove_empty, sync},
    error::Error,
    root::Root,
};

/// Removes the file at `path`, not yet durably. Returns false if it doesn't exist.
pub(super) fn remove(root: &Root, path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => root.check().map(|()| false),
        Err(source) => Err(Error::Delete { path: path.to_owned(), source }),
    }
}

/// Makes the removal of `files` durable, with one flush of each directory, and removes the directories that are empty
/// now.
pub(super) fn flush<'a>(root: &Root, files: impl Iterator<Item = &'a PathBuf>) -> Result<(), Error> {
    let dirs: BTreeSet<_> = files.filter_map(|file| file.parent()).collect();
    for dir in &dirs {
        flush_nearest(root, dir).map_err(|source| Error::Flush { path: dir.to_path_buf(), source })?;
    }
    remove_empty(root, dirs);
    Ok(())
}

/// Flushes `dir`, or the nearest existing directory above it, if another process has removed it meanwhile.
fn flush_nearest(root: &Root, dir: &Path) -> io::Result<()> {
    match sync(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir != root.path() => {
            dir.parent().map_or(Err(error), |parent| flush_nearest(root, parent))
        }
        done => done,
    }
}
