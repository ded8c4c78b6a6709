//! The spool: the directory in which one prefetcher keeps the segments that it has fetched for one data directory from
//! one repository.
//!
//! It contains a lock, which the prefetcher holds as long as it lives and which names the data directory; a socket, through
//! which restore-wal asks it for segments; a log with its messages; and the segments under their names. Only what the living
//! prefetcher confirms is used: what a killed one has left is never handed out, and the next one removes it.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf, absolute},
};

use rustix::{
    fs::{FlockOperation, flock, statvfs},
    io::Errno,
};
use swiftwal_postgres::SegmentName;
use tokio::net::{UnixListener, UnixStream};

use super::data_directory::DataDirectory;
use crate::{
    local::{
        private_directory::{create_private_in, ensure_private_in},
        regular_file::{open_regular_file, read_regular_file},
        staged_file::is_staged,
    },
    repository::Repository,
};

const LOCK: &str = "lock";
const SOCKET: &str = "socket";
const LOG: &str = "log";

/// More than the identity of a data directory has.
const MOST_IDENTITY_BYTES: u64 = 8 << 10;
/// The most that is read of the log. The rest of a longer one is removed unread.
const MOST_LOG_BYTES: u64 = 64 << 10;

/// The spool of one data directory and one repository. Only its owner can read or write there.
#[derive(Clone, Debug)]
pub struct Spool {
    parent: PathBuf,
    directory: PathBuf,
    /// The data directory's.
    identity: String,
    /// That of the repository's storage.
    configuration: String,
}

impl Spool {
    /// Returns the spool for these two, a directory below `parent`. Neither needs to exist.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if `parent` is in the data directory: pg_rewind removes files there that it
    /// doesn't know.
    pub fn new(parent: &Path, repository: &Repository, data: &DataDirectory) -> io::Result<Self> {
        if data.contains(parent)? {
            let reason = "it is in the data directory, where pg_rewind would remove it; use another place";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let parent = absolute(parent)?;
        let state = repository.storage().state_dir();
        // Two accounts may have containers of one name, and their state directories differ.
        let place =
            state.map_or_else(|| repository.location().into(), |state| state.path().to_string_lossy());
        let identity = data.identity();
        let name = blake3::hash(format!("{place}\n{identity}").as_bytes());
        let directory = parent.join(name.to_hex().as_str());
        let configuration = repository.storage().configuration().to_owned();
        Ok(Self { parent, directory, identity, configuration })
    }

    /// Returns the path of the directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Creates the directory if it is missing, and the empty file for the messages of the prefetcher that is started next.
    ///
    /// # Errors
    ///
    /// Those of the system; [`io::ErrorKind::PermissionDenied`] if another user may write there.
    pub fn create_log(&self) -> io::Result<File> {
        create_private_in(&self.parent, &self.directory)?;
        // Appended to: a prefetcher that lives on writes at the new end after its messages were removed.
        let log = File::options().create(true).append(true).mode(0o600).open(self.directory.join(LOG))?;
        log.set_len(0)?;
        Ok(log)
    }

    /// Returns the messages of the prefetcher since the last call, and removes them. Most often there is none.
    #[must_use]
    pub fn take_log(&self) -> Option<String> {
        let path = self.directory.join(LOG);
        if fs::metadata(&path).ok()?.len() == 0 {
            return None;
        }
        let mut text = Vec::new();
        open_regular_file(&path).ok()?.take(MOST_LOG_BYTES).read_to_end(&mut text).ok()?;
        File::options().write(true).open(path).ok()?.set_len(0).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    /// Takes the lock, and holds it until the returned file is closed. None if another process holds it.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        create_private_in(&self.parent, &self.directory)?;
        let path = self.directory.join(LOCK);
        let mut lock = File::options().create(true).append(true).mode(0o600).open(&path)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Ok(None),
            locked => locked?,
        }
        // The process that held it before may have removed the spool, and another one may have created it again.
        let held = lock.metadata()?.ino();
        if !fs::metadata(path).is_ok_and(|named| named.ino() == held) {
            return Ok(None);
        }
        lock.set_len(0)?;
        lock.write_all(self.identity.as_bytes())?;
        Ok(Some(lock))
    }

    /// Removes the other spools whose data directories are gone. Only a prefetcher of the same data directory would remove
    /// them otherwise, and each restore creates another one.
    pub(super) fn remove_abandoned(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.parent)? {
            let directory = entry?.path();
            let is_spool = directory.file_name().is_some_and(|name| name.len() == blake3::OUT_LEN * 2);
            if !is_spool || directory == self.directory {
                continue;
            }
            // The others remain, whatever the reason.
            drop(self.remove_if_abandoned(directory));
        }
        Ok(())
    }

    fn remove_if_abandoned(&self, directory: PathBuf) -> io::Result<()> {
        ensure_private_in(&self.parent, &directory)?;
        let identity = read_regular_file(&directory.join(LOCK), MOST_IDENTITY_BYTES)?;
        let identity = String::from_utf8_lossy(&identity).into_owned();
        if !DataDirectory::is_gone(&identity) {
            return Ok(());
        }
        let abandoned = Self { directory, identity, ..self.clone() };
        let Some(_lock) = abandoned.lock()? else { return Ok(()) };
        drop(fs::remove_file(abandoned.directory.join(LOG)));
        abandoned.remove()
    }

    /// Removes what a prefetcher has created there, except for the lock and the log.
    pub(super) fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_ours =
                |name: &str| name == SOCKET || is_staged(name) || name.parse::<SegmentName>().is_ok();
            if name.to_str().is_some_and(is_ours) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the whole spool, unless it contains messages that nobody has read. Called by the holder of the lock.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.clear()?;
        let log = self.directory.join(LOG);
        if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            return Ok(());
        }
        // A prefetcher that was started without one has none.
        drop(fs::remove_file(log));
        fs::remove_file(self.directory.join(LOCK))?;
        fs::remove_dir(&self.directory)
    }

    /// Creates the socket. Called by the holder of the lock.
    pub(super) fn listen(&self) -> io::Result<UnixListener> {
        let directory = File::open(&self.directory)?;
        UnixListener::bind(socket_in(&directory))
    }

    /// Connects to the prefetcher. Fails if none is alive.
    pub(super) async fn connect(&self) -> io::Result<UnixStream> {
        ensure_private_in(&self.parent, &self.directory)?;
        let directory = File::open(&self.directory)?;
        UnixStream::connect(socket_in(&directory)).await
    }

    /// Returns the configuration of the repository's storage.
    pub(super) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// Returns the inode of the socket.
    pub(super) fn socket_inode(&self) -> io::Result<u64> {
        Ok(fs::symlink_metadata(self.directory.join(SOCKET))?.ino())
    }

    /// Removes the socket of a prefetcher that doesn't answer.
    pub(super) fn remove_socket(&self) -> io::Result<()> {
        fs::remove_file(self.directory.join(SOCKET))
    }

    /// Returns the path of a fetched segment.
    pub(super) fn segment(&self, name: SegmentName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    /// Returns the number of bytes that this user can still write there.
    pub(super) fn free_bytes(&self) -> io::Result<u64> {
        let free = statvfs(&self.directory)?;
        Ok(free.f_bavail.saturating_mul(free.f_frsize))
    }
}

/// Returns a path of the socket in the open `directory`. The path of a socket must be short; that of a spool may be long.
fn socket_in(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}
