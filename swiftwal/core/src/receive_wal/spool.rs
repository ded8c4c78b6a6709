//! The spool: the local directory in which received WAL is durable until the repository has it.
//!
//! It contains complete segments under their own names, and segments that are being received as `<SEGMENT>.partial`. A
//! segment gets its own name only when all of it is on the disk. What an earlier process left there is used: complete
//! segments are stored, and a segment that had begun is received again from its start, over the same bytes, so nothing that
//! was reported as written is lost meanwhile. What is sent again must be the same. A complete segment that was damaged is
//! renamed to `<SEGMENT>.damaged`, and counts as missing.
//!
//! One process at a time uses a spool. A killed process leaves no lock behind. Only this user may write there.

mod begun;
mod damage;

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{fs::FlockOperation, io::Errno};
use swiftwal_postgres::{SegmentName, SegmentSize, WalName};

pub(super) use self::begun::BegunSegment;
use crate::{
    error::{Error, Refusal, Result},
    local::{blocking::blocking, private_directory::ensure_private},
    repository::wal_file::WalFile,
};

/// The file whose lock means that a process uses the spool.
const LOCK: &str = "lock";

/// The local directory with WAL that the repository doesn't have yet.
#[derive(Debug)]
pub(super) struct Spool {
    directory: PathBuf,
    lock: Arc<File>,
}

impl Spool {
    /// Opens the spool, and creates the directory if it is missing.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if another process uses it; [`Error::Local`] if another user may write there.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let failed = |action| Error::local(action, directory);
        create_durably(directory).map_err(failed("create"))?;
        ensure_private(directory).map_err(failed("use"))?;
        let lock = File::options().write(true).create(true).truncate(false).open(directory.join(LOCK));
        let lock = lock.map_err(failed("write to"))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { directory: directory.to_owned(), lock: Arc::new(lock) }),
            Err(Errno::WOULDBLOCK) => {
                let what = format!("another receive-wal uses the spool {}", directory.display());
                Err(Refusal::overtaken(
                    what,
                    "stop it first; if it receives for another repository, give this one another --spool",
                )
                .into())
            }
            Err(error) => Err(failed("lock")(error.into())),
        }
    }

    pub(super) fn path_of(&self, name: WalName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Returns when the disk of the spool has answered.
    pub(super) async fn wait_for_disk(&self) -> Result<()> {
        let (lock, path) = (Arc::clone(&self.lock), self.directory.join(LOCK));
        blocking(move || {
            // Without a change there would be nothing to write.
            let write = || lock.write_all_at(b"\n", 0).and_then(|()| lock.sync_all());
            write().map_err(Error::local("write to", path))
        })
        .await
    }

    /// Returns the complete segments, in order.
    pub(super) async fn complete(&self) -> Result<Vec<SegmentName>> {
        self.names(|name| match name {
            WalName::Segment(segment) => Some(segment),
            _ => None,
        })
        .await
    }

    /// Returns the segments that were begun, in order.
    pub(super) async fn begun(&self) -> Result<Vec<SegmentName>> {
        self.names(|name| match name {
            WalName::Partial(segment) => Some(segment),
            _ => None,
        })
        .await
    }

    async fn names(&self, wanted: fn(WalName) -> Option<SegmentName>) -> Result<Vec<SegmentName>> {
        let directory = self.directory.clone();
        blocking(move || {
            let read = || -> io::Result<Vec<SegmentName>> {
                let mut names = Vec::new();
                for entry in fs::read_dir(&directory)? {
                    let name = entry?.file_name();
                    names.extend(name.to_str().and_then(|name| name.parse().ok()).and_then(wanted));
                }
                Ok(names)
            };
            let mut names = read().map_err(Error::local("read", &directory))?;
            names.sort_unstable();
            Ok(names)
        })
        .await
    }

    /// Returns how many bytes the complete segments take.
    pub(super) async fn bytes(&self, size: SegmentSize) -> Result<u64> {
        Ok(size.bytes().saturating_mul(self.complete().await?.len() as u64))
    }

    /// Opens a complete segment to store it.
    pub(super) async fn open_complete(&self, name: SegmentName) -> Result<WalFile> {
        let path = self.path_of(WalName::Segment(name));
        blocking(move || WalFile::open(&path)).await
    }

    /// Removes a file that the repository has.
    pub(super) async fn remove(&self, name: WalName) -> Result<()> {
        let path = self.path_of(name);
        blocking(move || fs::remove_file(&path).map_err(Error::local("remove", &path))).await
    }
}

/// Creates a directory, and those that contain it, unless they exist.
fn create_durably(directory: &Path) -> io::Result<()> {
    let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let containing = missing.iter().filter_map(|path| path.parent());
    containing
        .map(|path| if path == Path::new("") { Path::new(".") } else { path })
        .try_for_each(sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates a directory for a spool.
#[cfg(test)]
pub(super) fn private_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap()
}

#[cfg(test)]
mod tests;
