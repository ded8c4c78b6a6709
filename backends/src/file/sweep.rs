//! The leftovers of crashed uploads in a directory: finds and removes them, for prune.

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use async_trait::async_trait;
use futures::{TryStreamExt, stream};
use jiff::Timestamp;
use object_store::{ObjectMeta, Result, path::Path};
use swiftwal_core::{ObjectName, Sweep};
use tokio::task::spawn_blocking;

use super::{
    delete,
    error::Error,
    listing::next_names,
    root::Root,
    walk::{FoundFile, Walk, Wanted, unstaged},
};

/// Finds the temporary files of crashed uploads.
///
/// A running upload keeps writing to its file, so a file that was last written long ago is abandoned.
#[derive(Debug)]
pub(super) struct FileSweep {
    root: Arc<Root>,
}

impl FileSweep {
    pub(super) fn new(root: Arc<Root>) -> Self {
        Self { root }
    }
}

#[async_trait]
impl Sweep for FileSweep {
    async fn leftovers(&self, before: Timestamp, _listed: Vec<ObjectMeta>) -> Result<Vec<String>> {
        let before = before.into();
        stream::try_unfold(Walk::new(&self.root, Wanted::Staged, None), next_names)
            // In steps, so that the walk stops when the caller stops waiting.
            .try_fold(Vec::new(), move |mut names, found| async move {
                let old = spawn_blocking(move || untouched_since(before, found)).await??;
                names.extend(old);
                Ok(names)
            })
            .await
    }

    async fn remove(&self, leftovers: &[String]) -> Result<()> {
        let (root, names) = (Arc::clone(&self.root), leftovers.to_vec());
        Ok(spawn_blocking(move || remove(&root, &names)).await??)
    }
}

/// Whether the file belongs to an upload of a name that a repository may contain. Other programs use names with `#`,
/// too, such as Emacs for files that it saves automatically.
fn is_ours(location: &Path) -> bool {
    let name = unstaged(location.as_ref());
    name.is_some_and(|name| !matches!(ObjectName::parse(name), ObjectName::Foreign(_)))
}

/// Returns the names of the files that were last written before `before`.
fn untouched_since(before: SystemTime, files: Vec<FoundFile>) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for found in files.into_iter().filter(|found| is_ours(&found.location)) {
        let Some(metadata) = found.metadata()? else { continue };
        if found.modified(&metadata)? < before {
            names.push(found.location.into());
        }
    }
    Ok(names)
}

fn remove(root: &Root, names: &[String]) -> Result<(), Error> {
    // All names are checked before any file is removed.
    let files = names.iter().map(|name| leftover(root, name)).collect::<Result<Vec<_>, _>>()?;
    for file in &files {
        delete::remove(root, file)?;
    }
    delete::flush(root, files.iter())
}

fn leftover(root: &Root, name: &str) -> Result<PathBuf, Error> {
    match Path::parse(name) {
        Ok(location) if is_ours(&location) => Ok(root.path().join(location.as_ref())),
        _ => Err(Error::NotALeftover { name: name.to_owned() }),
    }
}
