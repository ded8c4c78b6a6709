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
use rustix::fs::{Mode, OFlags, open};
use swiftwal_core::StorageClock;
use tokio::task::spawn_blocking;

use super::root::Root;

/// The clock by which the file system dates files: on NFS the server's.
#[derive(Debug)]
pub(super) struct FileClock {
    root: Arc<Root>,
}

impl FileClock {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self { root }
    }
}

#[async_trait]
impl StorageClock for FileClock {
    async fn now(&self) -> Result<Timestamp> {
        let root = Arc::clone(&self.root);
        spawn_blocking(move || {
            root.check()?;
            date_of_a_new_file(&root).map_err(unknown)
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

/// Where the file system has no files without a name, as NFS. What a crash leaves is swept as an upload is.
fn dated_by_name(root: &Root) -> io::Result<SystemTime> {
    let unique = RandomState::new().build_hasher().finish();
    let path = root.path().join(format!("...clock#{unique}"));
    let modified = dated(&File::create_new(&path)?);
    fs::remove_file(&path)?;
    modified
}

fn dated(mut file: &File) -> io::Result<SystemTime> {
    match file.write_all(b"\n") {
        // Then the date is that of the empty file.
        Err(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {}
        written => written?,
    }
    file.metadata()?.modified()
}

fn unknown(error: io::Error) -> object_store::Error {
    object_store::Error::Generic { store: "file", source: error.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_file_systems_time_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let root = Arc::new(Root::open(directory.path()).unwrap());
        let before = SystemTime::UNIX_EPOCH;
        for time in [date_of_a_new_file(&root).unwrap(), dated_by_name(&root).unwrap().try_into().unwrap()] {
            assert!(time > Timestamp::try_from(before).unwrap());
        }
        assert!(directory.path().read_dir().unwrap().next().is_none());
        assert!(FileClock::new(root).now().await.is_ok());
    }
}
