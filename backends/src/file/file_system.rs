//! The file system of a repository's directory: its clock and its free space.

use std::{
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::Result;
use rustix::fs::{Mode, OFlags, open, statvfs};
use swiftwal_core::{StorageClock, StorageSpace};
use tokio::task::spawn_blocking;

use super::{error::Error, root::Root, write_error::explain};

/// The file system that contains a directory. Its clock is the one that dates files; on NFS, that is the server's.
#[derive(Debug)]
pub(super) struct FileSystem {
    root: Arc<Root>,
}

impl FileSystem {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self { root }
    }
}

#[async_trait]
impl StorageClock for FileSystem {
    async fn now(&self) -> Result<Timestamp> {
        let root = Arc::clone(&self.root);
        spawn_blocking(move || {
            root.check()?;
            let dated = date_of_a_new_file(&root);
            explain(root.path(), dated.map_err(|source| failed(&root, source)))
        })
        .await?
    }
}

#[async_trait]
impl StorageSpace for FileSystem {
    /// The number of bytes that users other than root may still write.
    async fn free_bytes(&self) -> Result<u64> {
        let root = Arc::clone(&self.root);
        spawn_blocking(move || {
            root.check()?;
            let there = statvfs(root.path()).map_err(|errno| failed(&root, errno.into()))?;
            Ok(there.f_bavail.saturating_mul(there.f_frsize))
        })
        .await?
    }
}

fn date_of_a_new_file(root: &Root) -> io::Result<Timestamp> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let modified = match open(root.path(), flags, Mode::RUSR | Mode::WUSR) {
        Ok(unnamed) => dated(&unnamed.into())?,
        Err(_) => dated_by_name(root)?,
    };
    modified.try_into().map_err(io::Error::other)
}

/// Returns the date of a new file with a name, for a file system without unnamed files, such as NFS. If a crash leaves
/// the file, the sweep removes it, as after an upload.
fn dated_by_name(root: &Root) -> io::Result<SystemTime> {
    let unique = RandomState::new().build_hasher().finish();
    let path = root.path().join(format!("...clock#{unique}"));
    let modified = dated(&File::create_new(&path)?);
    fs::remove_file(&path)?;
    modified
}

fn dated(mut file: &File) -> io::Result<SystemTime> {
    match file.write_all(b"\n") {
        // The date is then that of the empty file.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
        written => written?,
    }
    file.metadata()?.modified()
}

fn failed(root: &Root, source: io::Error) -> object_store::Error {
    Error::FileSystem { dir: root.path().to_owned(), source }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_free_space_is_the_file_systems() {
        let directory = tempfile::tempdir().unwrap();
        let system = FileSystem::new(Arc::new(Root::open(directory.path()).unwrap()));
        let there = statvfs(directory.path()).unwrap();
        let all = there.f_blocks * there.f_frsize;
        assert!((1..=all).contains(&system.free_bytes().await.unwrap()));
    }

    #[test]
    fn a_full_disk_is_named_with_a_hint_when_the_time_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let full = failed(&root, io::Error::from_raw_os_error(28));
        let error = explain::<()>(root.path(), Err(full)).unwrap_err();
        let hint = std::error::Error::source(&error).and_then(crate::file::error::hint);
        let told = format!("{error}; {}", hint.unwrap_or_default());
        assert!(told.contains("can't write to") && told.contains("swiftwal prune"), "{told}");
    }

    #[tokio::test]
    async fn the_file_systems_time_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(directory.path()).unwrap());
        let before = SystemTime::UNIX_EPOCH;
        for time in [date_of_a_new_file(&root).unwrap(), dated_by_name(&root).unwrap().try_into().unwrap()] {
            assert!(time > Timestamp::try_from(before).unwrap());
        }
        assert!(directory.path().read_dir().unwrap().next().is_none());
        assert!(FileSystem::new(root).now().await.is_ok());
    }
}
