//! Directories of this user in which nobody else may write. The state directory and the spool of restore-wal are such.

use std::{
    fs::{self, DirBuilder},
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
    let found = fs::metadata(directory)?;
    if found.uid() == geteuid().as_raw() && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        "the directory must belong to this user, and no other user may write there (chmod 0700)",
    ))
}
