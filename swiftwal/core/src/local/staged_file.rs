//! Files that get their names only when they are complete. restore-wal and the state directory use them.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::{fd::AsRawFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, fallocate};
use tempfile::{Builder, NamedTempFile, TempPath};

use crate::local::content::Fingerprint;

/// The directory with this process's open files. Only through it can a file without a name get one.
const OPEN_FILES: &str = "/proc/self/fd";
/// The beginning of the hidden names.
const HIDDEN: &str = ".swiftwal-";

/// A file that doesn't have its name yet. Dropping it removes it; a killed process leaves nothing behind either if the
/// file system supports unnamed files (most do; NFS doesn't) and `/proc` is mounted.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: Staged,
    target: PathBuf,
    hasher: Option<blake3::Hasher>,
}

#[derive(Debug)]
enum Staged {
    /// A file without a name, and the link through which it gets one.
    Unnamed(File, PathBuf),
    /// A file with a hidden name beside the target.
    Named(NamedTempFile),
}

impl StagedFile {
    /// Creates the file that will become `target`, on the same file system.
    pub(crate) fn for_target(target: &Path) -> io::Result<Self> {
        Self::linked_through(target, Path::new(OPEN_FILES))
    }

    /// As [`for_target`](Self::for_target), and hashes what is written to the file.
    pub(crate) fn hashed_for_target(target: &Path) -> io::Result<Self> {
        Ok(Self { hasher: Some(blake3::Hasher::new()), ..Self::for_target(target)? })
    }

    fn linked_through(target: &Path, open_files: &Path) -> io::Result<Self> {
        let directory = parent(target);
        let file = match Staged::unnamed(directory, open_files) {
            Some(unnamed) => unnamed,
            None => Staged::Named(hidden().tempfile_in(directory)?),
        };
        Ok(Self { file, target: target.to_owned(), hasher: None })
    }

    /// Appends zeros. Where the file system can, their space is only reserved, which takes far less time than to write
    /// them.
    ///
    /// They must not be a hole, which `set_len` would make: PostgreSQL uses the files of restored WAL segments again for
    /// new WAL. If the disk were full then, the server would stop, since it can't continue when it fails to write WAL.
    pub(crate) fn append_zeros(&mut self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        let mut file = self.file.file();
        let start = file.stream_position()?;
        if fallocate(file, FallocateFlags::empty(), start, bytes).is_err() {
            // The file system can't reserve space, or has none, which writing reports.
            return io::copy(&mut io::repeat(0).take(bytes), self).map(drop);
        }
        file.seek(SeekFrom::Start(start + bytes))?;
        match &mut self.hasher {
            Some(hasher) => hasher.update_reader(io::repeat(0).take(bytes)).map(drop),
            None => Ok(()),
        }
    }

    /// Returns the fingerprint that the file has as long as nobody changes it or puts another one in its place.
    pub(crate) fn fingerprint(&self) -> io::Result<Fingerprint> {
        Ok(Fingerprint::of(&self.file.file().metadata()?))
    }

    /// Makes the content safe from a power failure.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.file().sync_all()
    }

    /// Gives the file its name, replacing an older one. Every reader sees a complete file, but it isn't yet safe from a
    /// power failure. Returns the hash of the content if it was requested.
    pub(crate) fn publish(self) -> io::Result<Option<blake3::Hash>> {
        let Self { file, target, hasher } = self;
        match file {
            Staged::Named(file) => drop(file.persist(&target)?),
            Staged::Unnamed(_file, link) => match name(&link, &target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // A link can't replace a name but a rename can, so the file gets a second name first.
                    let named = hidden().make_in(parent(&target), |second| name(&link, second))?;
                    named.persist(&target)?;
                }
                named => named?,
            },
        }
        Ok(hasher.map(|hasher| hasher.finalize()))
    }

    /// As [`publish`](Self::publish), and safe from a power failure when it returns.
    pub(crate) fn publish_durably(self) -> io::Result<Option<blake3::Hash>> {
        self.sync()?;
        let directory = File::open(parent(&self.target))?;
        let hash = self.publish()?;
        directory.sync_all()?;
        Ok(hash)
    }
}

impl Staged {
    /// Creates a file without a name; none if the file system doesn't support that, or the file could never get a name.
    fn unnamed(directory: &Path, open_files: &Path) -> Option<Self> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR).ok()?);
        let link = open_files.join(file.as_raw_fd().to_string());
        fs::symlink_metadata(&link).is_ok().then(|| Self::Unnamed(file, link))
    }

    fn file(&self) -> &File {
        match self {
            Self::Unnamed(file, _) => file,
            Self::Named(file) => file.as_file(),
        }
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.file().write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Replaces the file at `path` durably by one with this content that every user can read. Every reader sees a complete
/// file, whose name ends differently until it is complete.
///
/// # Errors
///
/// Those of the system.
pub fn publish_for_everyone(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut staged = StagedFile::for_target(path)?;
    staged.write_all(content)?;
    staged.file.file().set_permissions(Permissions::from_mode(0o644))?;
    staged.publish_durably().map(drop)
}

/// Gives the complete file at `path` the name `target`, replacing an older one: by a rename or, if that is on another
/// file system, as a copy. `path` is free afterwards. As after [`StagedFile::publish`], every reader sees a complete file.
pub(crate) fn move_file(path: &Path, target: &Path) -> io::Result<()> {
    let Err(error) = TempPath::try_from_path(path)?.persist(target) else { return Ok(()) };
    if error.error.kind() != io::ErrorKind::CrossesDevices {
        return Err(error.error);
    }
    let mut staged = StagedFile::for_target(target)?;
    io::copy(&mut File::open(path)?, &mut staged)?;
    staged.publish()?;
    error.path.close()
}

/// Returns the directory that contains a file: the working directory for a name without a directory.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether this is the name of a file that a killed process may have left.
pub(crate) fn is_staged(name: &str) -> bool {
    name.starts_with(HIDDEN)
}

fn hidden() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(HIDDEN);
    builder
}

/// Names the open file that `link` leads to.
fn name(link: &Path, name: &Path) -> io::Result<()> {
    Ok(rustix::fs::linkat(CWD, link, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn names(directory: &Path) -> Vec<PathBuf> {
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_published_file_replaces_what_was_there_and_nothing_else_stays_with_and_without_proc() {
        for open_files in [OPEN_FILES, "/nowhere/self/fd"] {
            let directory = tempfile::tempdir().unwrap();
            let target = directory.path().join("RECOVERYXLOG");
            for content in [&b"one"[..], b"two"] {
                let mut staged = StagedFile::linked_through(&target, Path::new(open_files)).unwrap();
                staged.write_all(content).unwrap();
                staged.publish().unwrap();
                assert_eq!(fs::read(&target).unwrap(), content, "{open_files}");
            }
            let mut staged = StagedFile::linked_through(&target, Path::new(open_files)).unwrap();
            staged.write_all(b"three").unwrap();
            staged.publish_durably().unwrap();
            assert_eq!(fs::read(&target).unwrap(), b"three", "{open_files}");
            assert_eq!(names(directory.path()), [target], "{open_files}");
        }
    }

    #[test]
    fn a_staged_file_has_no_name_and_is_gone_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x");
        let mut staged = StagedFile::for_target(&target).unwrap();
        staged.write_all(b"half").unwrap();
        assert!(names(directory.path()).is_empty());
        drop(staged);
        assert!(names(directory.path()).is_empty());
        let mut staged = StagedFile::linked_through(&target, Path::new("/nowhere")).unwrap();
        staged.write_all(b"half").unwrap();
        assert!(!target.exists());
        drop(staged);
        assert!(names(directory.path()).is_empty());
    }

    #[test]
    fn what_is_written_is_hashed_if_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("x");
        let mut staged = StagedFile::hashed_for_target(&target).unwrap();
        staged.write_all(b"con").unwrap();
        staged.write_all(b"tent").unwrap();
        assert_eq!(staged.publish().unwrap(), Some(blake3::hash(b"content")));
        assert_eq!(StagedFile::for_target(&target).unwrap().publish().unwrap(), None);
    }

    #[test]
    fn appended_zeros_are_content_and_have_their_space() {
        const ZEROS: usize = 3 << 20;
        let directory = tempfile::tempdir().unwrap();
        let content = [&b"begin"[..], &vec![0; ZEROS], b"end", &vec![0; ZEROS]].concat();
        let written = directory.path().join("written");
        fs::write(&written, &content).unwrap();
        let target = directory.path().join("x");
        let mut staged = StagedFile::hashed_for_target(&target).unwrap();
        for part in ["begin", "end"] {
            staged.write_all(part.as_bytes()).unwrap();
            staged.append_zeros(ZEROS as u64).unwrap();
        }
        staged.append_zeros(0).unwrap();
        staged.sync().unwrap();
        assert_eq!(staged.publish().unwrap(), Some(blake3::hash(&content)));
        assert_eq!(fs::read(&target).unwrap(), content);
        File::open(&written).unwrap().sync_all().unwrap();
        let blocks = |path: &Path| fs::metadata(path).unwrap().blocks();
        assert!(blocks(&target) >= blocks(&written), "{} blocks", blocks(&target));
    }
}
