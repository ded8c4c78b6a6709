//! Reads the names at the top of a directory, without those below.

use std::{fs, io, sync::Arc};

use async_trait::async_trait;
use object_store::Result;
use swiftwal_core::TopNames;
use tokio::task::spawn_blocking;

use super::{error::Error, root::Root};

/// Looks at the names at the top of a repository's directory until one matches.
#[derive(Debug)]
pub(super) struct FileTop {
    root: Arc<Root>,
}

impl FileTop {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self { root }
    }
}

#[async_trait]
impl TopNames for FileTop {
    async fn any(&self, wanted: for<'a> fn(&'a str) -> bool) -> Result<bool> {
        let root = Arc::clone(&self.root);
        Ok(spawn_blocking(move || any(&root, wanted)).await??)
    }
}

fn any(root: &Root, wanted: for<'a> fn(&'a str) -> bool) -> Result<bool, Error> {
    let look = || -> io::Result<bool> {
        for entry in fs::read_dir(root.path())? {
            if entry?.file_name().to_str().is_some_and(wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let found = look();
    // Checked last: a missing name is proof only if the directory is still the repository's.
    root.check()?;
    found.map_err(|source| Error::List { path: root.path().to_owned(), source })
}
