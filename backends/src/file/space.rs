use std::{io, sync::Arc};

use async_trait::async_trait;
use object_store::Result;
use rustix::fs::statvfs;
use swiftwal_core::StorageSpace;
use tokio::task::spawn_blocking;

use super::root::Root;

/// What the file system of the directory has left for users other than root.
#[derive(Debug)]
pub(super) struct FileSpace {
    root: Arc<Root>,
}

impl FileSpace {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self { root }
    }
}

#[async_trait]
impl StorageSpace for FileSpace {
    async fn free_bytes(&self) -> Result<u64> {
        let root = Arc::clone(&self.root);
        spawn_blocking(move || {
            root.check()?;
            let unknown =
                |errno| object_store::Error::Generic { store: "file", source: io::Error::from(errno).into() };
            let there = statvfs(root.path()).map_err(unknown)?;
            Ok(there.f_bavail.saturating_mul(there.f_frsize))
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_free_space_is_the_file_systems() {
        let directory = tempfile::tempdir().unwrap();
        let space = FileSpace::new(Arc::new(Root::open(directory.path()).unwrap()));
        let there = statvfs(directory.path()).unwrap();
        let all = there.f_blocks * there.f_frsize;
        assert!((1..=all).contains(&space.free_bytes().await.unwrap()));
    }
}
