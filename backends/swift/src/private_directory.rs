//! A directory that only this user can access, and its files. The one place that checks their owner and mode.

use std::{
    fs::{self, DirBuilder, Metadata},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

use crate::local_file::{open_regular_file, read_at_most};

/// A directory that only this user may read or write. It is created when something is first stored in it.
#[derive(Debug)]
pub(crate) struct PrivateDirectory(PathBuf);

impl PrivateDirectory {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Reads a regular file of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if the directory or the file belongs to another user or is open to others: what another user
    /// could have written isn't trusted.
    pub(crate) fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.check()?;
        let file = open_regular_file(&self.0.join(name))?;
        check(&file.metadata()?, "the file", "0600")?;
        read_at_most(file, limit)
    }

    /// Stores a file, in place of an existing one. It appears complete or not at all.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` if the directory belongs to another user or is open to others.
    pub(crate) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        self.check()?;
        // Created with mode 0600.
        let mut file = NamedTempFile::new_in(&self.0)?;
        file.write_all(content)?;
        file.persist(self.0.join(name))?;
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        check(&fs::metadata(&self.0)?, "the directory", "0700")
    }
}

/// Fails unless it belongs to this user and is closed to others.
fn check(metadata: &Metadata, what: &str, mode: &str) -> io::Result<()> {
    let is_own = metadata.uid() == rustix::process::geteuid().as_raw();
    if is_own && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let reason = format!("{what} must belong to this user and be closed to others (chmod {mode})");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, reason))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_stored_is_for_this_user_alone_and_nothing_else_is_left() {
        let root = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::new(root.path().join("private"));
        directory.replace("a", b"first").unwrap();
        directory.replace("a", b"second").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(directory.path()), 0o700);
        assert_eq!(mode(&directory.path().join("a")), 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert_eq!(directory.read("a", 10).unwrap(), b"second");
    }

    #[test]
    fn a_directory_or_a_file_that_is_open_to_others_is_refused_and_named() {
        let root = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::new(root.path().join("private"));
        directory.replace("a", b"content").unwrap();
        let file = directory.path().join("a");
        for (path, closed, open, what) in
            [(directory.path(), 0o700, 0o750, "the directory"), (&*file, 0o600, 0o604, "the file")]
        {
            set_mode(path, open);
            let error = directory.read("a", 10).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(error.to_string().starts_with(what), "{error}");
            set_mode(path, closed);
            directory.read("a", 10).unwrap();
        }
        set_mode(directory.path(), 0o755);
        assert!(directory.replace("a", b"other").is_err());
    }
}
