//! Directories of this user in which nobody else may write. The state directory and the spool of restore-wal are such.

use std::{
    fs::{self, DirBuilder, Metadata},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use rustix::process::geteuid;

/// Creates the directory, and those above it, if they are missing. Fails as [`ensure_private`] does.
pub(crate) fn create_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    ensure_private(directory)
}

/// Fails unless only this user can write there.
pub(crate) fn ensure_private(directory: &Path) -> io::Result<()> {
    ensure_only_ours(&fs::metadata(directory)?)
}

/// As [`create_private`], for a directory in a private `parent`, which is created first. A symbolic link in its place is
/// refused too: what is removed there could be anything.
pub(crate) fn create_private_in(parent: &Path, directory: &Path) -> io::Result<()> {
    create_private(parent)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    ensure_private_in(parent, directory)
}

/// Fails unless only this user can write in `parent`, and in the directory there, which must not be a symbolic link.
pub(crate) fn ensure_private_in(parent: &Path, directory: &Path) -> io::Result<()> {
    ensure_private(parent)?;
    let found = fs::symlink_metadata(directory)?;
    if found.is_dir() { ensure_only_ours(&found) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn ensure_only_ours(found: &Metadata) -> io::Result<()> {
    if found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the directory must belong to this user, and no other user may write there (chmod 0700)",
    ))
}
