//! The state directory: what this machine keeps about one repository from one process to the next.
//!
//! It may be deleted at any time, except for the spool of receive-wal. A failure to read or write the rest costs a warning
//! and the benefit of its content.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::local::{
    private_directory::{create_private, ensure_private},
    regular_file::read_regular_file,
    staged_file::StagedFile,
};

/// Its files have a few hundred bytes.
const MOST_BYTES: u64 = 64 << 10;

/// The directory in which this machine keeps what it knows about one repository. Only its owner can read or write
/// there.
#[derive(Clone, Debug)]
pub struct StateDir {
    directory: Arc<Path>,
    /// Whether a warning was given: one for each process is enough.
    warned: Arc<AtomicBool>,
    #[cfg(test)]
    reads: Arc<std::sync::atomic::AtomicUsize>,
}

impl StateDir {
    /// Creates the handle of the directory below `state`, a user's directory for this program, that belongs to `place`
    /// alone. Its name doesn't disclose the place.
    #[must_use]
    pub fn of_place(state: &Path, place: &str) -> Self {
        Self::new(state.join(blake3::hash(place.as_bytes()).to_hex().as_str()))
    }

    /// Creates the handle of the directory at this path, which needn't exist.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into().into(),
            warned: Arc::default(),
            #[cfg(test)]
            reads: Arc::default(),
        }
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Returns the handle of a directory in it.
    pub(crate) fn directory(&self, name: &str) -> Self {
        Self { directory: self.directory.join(name).into(), ..self.clone() }
    }

    /// Reads the file `name`, without a warning if that fails.
    pub(crate) fn load(&self, name: &str) -> io::Result<Vec<u8>> {
        // Another user could make another cluster's repository pass as this one's.
        ensure_private(&self.directory)?;
        read_regular_file(&self.directory.join(name), MOST_BYTES)
    }

    /// Reads the file `name` with `parse`. None if it is missing or can't be trusted.
    pub(crate) fn read<T>(&self, name: &str, parse: impl FnOnce(&[u8]) -> io::Result<T>) -> Option<T> {
        #[cfg(test)]
        self.reads.fetch_add(1, Ordering::Relaxed);
        match self.load(name).and_then(|text| parse(&text)) {
            Ok(parsed) => Some(parsed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.warn("read", &error);
                None
            }
        }
    }

    /// Returns how often one of its files was read.
    #[cfg(test)]
    pub(crate) fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Replaces the content of the file `name`, durably: it is often needed after a loss of power.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let written = self.stage(name, content).and_then(StagedFile::publish_durably);
        if let Err(error) = written {
            self.warn("write", &error);
        }
    }

    /// Replaces the content of the file `name`, without a warning if that fails. It isn't flushed to the disk: after a
    /// loss of power the file may be missing, empty, or as it was before.
    pub(crate) fn write_unsynced(&self, name: &str, content: &[u8]) -> io::Result<()> {
        self.stage(name, content)?.publish().map(drop)
    }

    fn stage(&self, name: &str, content: &[u8]) -> io::Result<StagedFile> {
        create_private(&self.directory)?;
        let mut file = StagedFile::for_target(&self.directory.join(name))?;
        file.write_all(content)?;
        Ok(file)
    }

    /// Whether a warning said that the directory can't be used.
    pub(crate) fn has_warned(&self) -> bool {
        self.warned.load(Ordering::Relaxed)
    }

    fn warn(&self, verb: &str, error: &io::Error) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                directory = %self.directory.display(), %error,
                "can't {verb} the state directory, so a vanished repository can't be distinguished from a new one"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    fn read(state: &StateDir) -> Option<Vec<u8>> {
        state.read("file", |text| Ok(text.to_vec()))
    }

    #[test]
    fn it_is_for_this_user_alone() {
        let state = tempfile::tempdir().unwrap();
        let state = StateDir::new(state.path().join("state"));
        state.write("file", b"text");
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(state.path()), mode(&state.path().join("file"))), (0o700, 0o600));
        assert_eq!(read(&state), Some(b"text".to_vec()));
        fs::set_permissions(state.path(), fs::Permissions::from_mode(0o770)).unwrap();
        assert_eq!(read(&state), None);
    }

    #[test]
    fn a_fifo_is_as_good_as_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(directory.path());
        mknodat(CWD, state.path().join("file"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(read(&state), None);
        state.write("file", b"text");
        assert_eq!(read(&state), Some(b"text".to_vec()));
    }

    #[test]
    fn each_place_has_a_directory_of_its_own() {
        let of = |place: &str| StateDir::of_place(Path::new("state"), place).path().to_owned();
        assert_eq!(of("file file:///a").parent(), Some(Path::new("state")));
        assert_ne!(of("file file:///a"), of("file file:///b"));
    }
}
