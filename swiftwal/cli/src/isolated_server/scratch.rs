//! The directory of a copy and of the server on it.
//!
//! It is locked as long as the program runs that made it, so that a crashed program's directory can be told from that of a
//! running one. The server doesn't inherit the lock.

use std::{
    fs::{self, DirBuilder, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock, statvfs},
    process::{Pid, Signal, geteuid, kill_process},
};
use tokio::time::{Instant, sleep};

use super::error::IsolationError;

/// How long an abandoned server may take to end before it is killed, and after that to vanish.
const ENDING: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// How often the free space is looked at.
const SPACE_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is tried to remove a directory in which another process writes meanwhile.
const REMOVALS: usize = 10;
/// The directory of the links to tablespaces, which is closed while the server runs.
const LINKS: &str = "data/pg_tblspc";

/// A directory that only this user can read, removed with [`remove`](Self::remove).
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    /// Open and locked.
    lock: File,
}

impl Scratch {
    /// Creates a directory `swiftwal-PURPOSE-…` in `parent`, after removing those of crashed programs.
    ///
    /// # Errors
    ///
    /// `parent` doesn't exist, or this user can't write there.
    pub(crate) async fn create(parent: &Path, purpose: &str) -> Result<Self, IsolationError> {
        let parent = parent.canonicalize().map_err(IsolationError::scratch("use", parent))?;
        let prefix = format!("swiftwal-{purpose}-");
        remove_abandoned(&parent, &prefix).await.map_err(IsolationError::scratch("read", &parent))?;
        loop {
            let path = parent.join(format!("{prefix}{:016x}", RandomState::new().build_hasher().finish()));
            let created = DirBuilder::new().mode(0o700).create(&path);
            created.map_err(IsolationError::scratch("create", &path))?;
            // Another process may have taken it for an abandoned one.
            let Some(lock) = lock(&path).map_err(IsolationError::scratch("lock", &path))? else { continue };
            let scratch = Self { path, lock };
            let tablespaces = scratch.tablespaces();
            let created = DirBuilder::new().mode(0o700).create(&tablespaces);
            return match created.map_err(IsolationError::scratch("create", tablespaces)) {
                Ok(()) => Ok(scratch),
                Err(error) => {
                    drop(scratch.remove());
                    Err(error)
                }
            };
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of the data directory, which isn't created here.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Returns the path of the directory in which tablespaces belong.
    pub(crate) fn tablespaces(&self) -> PathBuf {
        self.path.join("tablespaces")
    }

    /// Fails unless `bytes` fit, and `reserve` is left free.
    pub(crate) fn check_room(&self, bytes: u64, reserve: u64) -> Result<(), IsolationError> {
        let free = free_bytes(&self.path).map_err(IsolationError::scratch("look into", &self.path))?;
        if bytes.saturating_add(reserve) <= free {
            return Ok(());
        }
        let directory = self.path.parent().unwrap_or(&self.path).to_owned();
        Err(IsolationError::NoRoom { directory, free, bytes, reserve })
    }

    /// Returns when less than `reserve` is free.
    pub(crate) async fn until_full(&self, reserve: u64) {
        while free_bytes(&self.path).is_ok_and(|free| free >= reserve) {
            sleep(SPACE_INTERVAL).await;
        }
    }

    /// Lets nobody create a link to a tablespace any more. The server fails when the WAL wants it to, before it uses the
    /// directory of that tablespace, which may be that of the original server.
    pub(crate) fn close_links(&self) -> io::Result<()> {
        fs::set_permissions(self.path.join(LINKS), fs::Permissions::from_mode(0o500))
    }

    /// Removes it with everything in it. No server may run there any more. If a restore into it was dropped, this waits until
    /// that has ended, too.
    ///
    /// # Errors
    ///
    /// Those of the system. The next command with the same purpose tries again.
    pub(crate) fn remove(self) -> io::Result<()> {
        if let Ok(data) = File::open(self.data()) {
            // A restore holds this lock.
            let _ = flock(&data, FlockOperation::LockExclusive);
        }
        let removed = remove(&self.path);
        drop(self.lock);
        removed
    }
}

fn free_bytes(directory: &Path) -> io::Result<u64> {
    let found = statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Locks the directory. None if another process has locked it or removed it.
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let opened = match File::open(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        locked => locked?,
    }
    let is_there = fs::metadata(directory).is_ok_and(|named| {
        opened.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (named.dev(), named.ino()))
    });
    Ok(is_there.then_some(opened))
}

/// Removes the directories of crashed programs, after stopping their servers. One that can't be removed is reported.
async fn remove_abandoned(parent: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let is_one = entry.file_name().to_string_lossy().starts_with(prefix)
            && entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw());
        if !is_one {
            continue;
        }
        let path = entry.path();
        match lock(&path) {
            Ok(Some(_lock)) => {
                stop_abandoned(&path.join("data")).await;
                match remove(&path) {
                    Ok(()) => tracing::warn!("removed {}, which a killed swiftwal had left", path.display()),
                    Err(error) => tracing::warn!("can't remove {}: {error}", path.display()),
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("can't lock {}: {error}", path.display()),
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    // It may not be there.
    drop(fs::set_permissions(path.join(LINKS), fs::Permissions::from_mode(0o700)));
    // A process that is about to end may create a file meanwhile.
    let mut removed = fs::remove_dir_all(path);
    for _ in 1..REMOVALS {
        match removed {
            Err(_) if path.exists() => removed = fs::remove_dir_all(path),
            _ => return Ok(()),
        }
    }
    removed
}

/// Stops the server of a data directory, and every process that works there.
async fn stop_abandoned(data: &Path) {
    if let Some(postmaster) = postmaster_in(data) {
        // An immediate shutdown: it frees its shared memory.
        let _ = kill_process(postmaster, Signal::QUIT);
        let end = Instant::now() + ENDING;
        while Instant::now() < end && works_in(postmaster, data) {
            sleep(PAUSE).await;
        }
    }
    let end = Instant::now() + ENDING;
    loop {
        let left = processes_in(data);
        if left.is_empty() || Instant::now() > end {
            return;
        }
        for process in left {
            let _ = kill_process(process, Signal::KILL);
        }
        sleep(PAUSE).await;
    }
}

/// Returns the server that runs in a data directory, by its `postmaster.pid`.
fn postmaster_in(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let process = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
    works_in(process, data).then_some(process)
}

/// Returns the processes whose working directory is `data`: a server and all that it has started.
fn processes_in(data: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    processes.filter(|process| works_in(*process, data)).collect()
}

fn works_in(process: Pid, data: &Path) -> bool {
    fs::read_link(format!("/proc/{}/cwd", process.as_raw_nonzero())).is_ok_and(|directory| directory == data)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn create(parent: &Path) -> Scratch {
        Scratch::create(parent, "test").await.unwrap()
    }

    #[tokio::test]
    async fn what_a_killed_program_has_left_is_removed_and_the_directory_of_a_running_one_stays() {
        let parent = tempfile::tempdir().unwrap();
        let (running, killed) = (create(parent.path()).await, create(parent.path()).await);
        let left = killed.path().to_owned();
        fs::create_dir_all(left.join(LINKS)).unwrap();
        fs::write(left.join(LINKS).join("16400"), "").unwrap();
        killed.close_links().unwrap();
        drop(killed);
        let other = parent.path().join("swiftwal-testament");
        fs::create_dir(&other).unwrap();
        let next = create(parent.path()).await;
        assert!(!left.exists() && running.path().exists() && other.exists());
        running.remove().unwrap();
        next.remove().unwrap();
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_backup_that_does_not_fit_is_refused_and_a_full_disk_noticed() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = create(parent.path()).await;
        scratch.check_room(1, 1).unwrap();
        let error = scratch.check_room(1, u64::MAX - 1).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("{} has no room", parent.path().display())), "{text}");
        // Returns at once.
        scratch.until_full(u64::MAX).await;
    }
}
