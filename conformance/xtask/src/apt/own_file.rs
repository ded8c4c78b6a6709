//! A file of the system that exists only while packages are installed. A file of the administrator at its place is
//! neither replaced nor removed.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file that this program has created, and removes when this value is dropped.
///
/// The file is ours if it has exactly our text: then a program that was killed has left it. A file that can't be read,
/// or that somebody has changed, isn't ours.
#[derive(Debug)]
pub(super) struct OwnFile {
    path: PathBuf,
    text: String,
}

impl OwnFile {
    /// Creates the file, complete or not at all. Returns None, and changes nothing, if another one is at its place.
    pub(super) fn create(path: &Path, text: &str, mode: u32) -> Result<Option<Self>> {
        if !is_ours(path, text) {
            let new = path.with_extension(format!("xtask-{}", std::process::id()));
            let created = write(&new, text, mode).and_then(|()| fs::hard_link(&new, path));
            let _ = fs::remove_file(&new);
            match created {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(None),
                created => created.with_context(|| format!("creating {}", path.display()))?,
            }
        }
        Ok(Some(Self { path: path.to_owned(), text: text.to_owned() }))
    }
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn is_ours(path: &Path, text: &str) -> bool {
    let is_file = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    is_file && fs::read(path).is_ok_and(|found| found == text.as_bytes())
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if is_ours(&self.path, &self.text)
            && let Err(error) = fs::remove_file(&self.path)
        {
            eprintln!("xtask: can't remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const TEXT: &str = "#!/bin/sh\nexit 101\n";

    /// The names and texts in a directory.
    fn files(directory: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
        let entry = |entry: fs::DirEntry| {
            (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap_or_default())
        };
        entries.map(entry).collect()
    }

    #[test]
    fn the_file_is_there_as_long_as_it_is_held_and_nothing_else_is_left() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("policy-rc.d");
        let held = OwnFile::create(&path, TEXT, 0o755).unwrap().unwrap();
        assert_eq!(files(root.path()), [("policy-rc.d".to_owned(), TEXT.to_owned())]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o755);
        drop(held);
        assert_eq!(files(root.path()), []);
    }

    #[test]
    fn what_a_killed_program_has_left_is_used_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("policy-rc.d");
        std::mem::forget(OwnFile::create(&path, TEXT, 0o755).unwrap());
        drop(OwnFile::create(&path, TEXT, 0o755).unwrap().unwrap());
        assert_eq!(files(root.path()), []);
    }

    #[test]
    fn what_an_administrator_has_put_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("policy-rc.d");
        for text in ["#!/bin/sh\nexit 0\n", "", "#!/bin/sh\nexit 101\n# also for us\n"] {
            fs::write(&path, text).unwrap();
            assert!(OwnFile::create(&path, TEXT, 0o755).unwrap().is_none());
            assert_eq!(files(root.path()), [("policy-rc.d".to_owned(), text.to_owned())]);
        }
        // Neither of these can be read: a directory, and a link to nothing.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(OwnFile::create(&path, TEXT, 0o755).unwrap().is_none());
        fs::remove_dir(&path).unwrap();
        symlink("nothing", &path).unwrap();
        assert!(OwnFile::create(&path, TEXT, 0o755).unwrap().is_none());
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn what_an_administrator_puts_there_meanwhile_stays_too() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("policy-rc.d");
        let held = OwnFile::create(&path, TEXT, 0o755).unwrap();
        fs::write(&path, "#!/bin/sh\n").unwrap();
        drop(held);
        assert_eq!(files(root.path()), [("policy-rc.d".to_owned(), "#!/bin/sh\n".to_owned())]);
    }
}
