//! Files of this machine, written under no name or a hidden one and published when complete.

pub(crate) mod blocking;
pub(crate) mod clock;
pub(crate) mod elapsed;
pub(crate) mod regular_file;
pub(crate) mod state_dir;
pub(crate) mod user;

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use tempfile::{Builder, NamedTempFile};

/// A file that has no name yet. Dropping it removes it; a killed process leaves nothing behind either if the file system
/// supports unnamed files (most do; NFS doesn't).
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: Staged,
    target: PathBuf,
}

#[derive(Debug)]
enum Staged {
    Unnamed(File),
    Named(NamedTempFile),
}

impl StagedFile {
    /// Creates the file that will become `target`, on the same file system.
    pub(crate) fn for_target(target: &Path) -> io::Result<Self> {
        let directory = parent(target);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(unnamed) => Staged::Unnamed(unnamed.into()),
            Err(_) => Staged::Named(hidden().tempfile_in(directory)?),
        };
        Ok(Self { file, target: target.to_owned() })
    }

    /// Gives the file its name, replacing an older one. Every reader sees a complete file, but it isn't yet safe from
    /// a power failure.
    pub(crate) fn publish(self) -> io::Result<()> {
        let Self { file, target } = self;
        match file {
            Staged::Named(file) => drop(file.persist(&target)?),
            Staged::Unnamed(file) => match link(&file, &target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // A link can't replace a name but a rename can, so the file gets a second name first.
                    let named = hidden().make_in(parent(&target), |name| link(&file, name))?;
                    named.persist(&target)?;
                }
                linked => linked?,
            },
        }
        Ok(())
    }

    /// As [`publish`](Self::publish), and safe from a power failure when it returns.
    pub(crate) fn publish_durably(self) -> io::Result<()> {
        match &self.file {
            Staged::Unnamed(file) => file.sync_all()?,
            Staged::Named(file) => file.as_file().sync_all()?,
        }
        let directory = File::open(parent(&self.target))?;
        self.publish()?;
        directory.sync_all()
    }
}

impl Write for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Staged::Unnamed(file) => file.write(bytes),
            Staged::Named(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The directory that contains a file; the working directory for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn hidden() -> Builder<'static, 'static> {
    let mut builder = Builder::new();
    builder.prefix(".swiftwal-");
    builder
}

fn link(file: &File, name: &Path) -> io::Result<()> {
    let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, unnamed, CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(target: &Path, content: &[u8]) {
        let mut staged = StagedFile::for_target(target).unwrap();
        staged.write_all(content).unwrap();
        staged.publish().unwrap();
    }

    fn names(directory: &Path) -> Vec<PathBuf> {
        directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[test]
    fn a_published_file_replaces_what_was_there_and_nothing_else_stays() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("RECOVERYXLOG");
        publish(&target, b"one");
        publish(&target, b"two");
        assert_eq!(std::fs::read(&target).unwrap(), b"two");
        assert_eq!(names(directory.path()), [target]);
    }

    #[test]
    fn a_staged_file_has_no_name_and_is_gone_when_dropped() {
        let directory = tempfile::tempdir().unwrap();
        let mut staged = StagedFile::for_target(&directory.path().join("x")).unwrap();
        staged.write_all(b"half").unwrap();
        assert!(names(directory.path()).is_empty());
        drop(staged);
        assert!(names(directory.path()).is_empty());
    }
}
