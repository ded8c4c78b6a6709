//! Refuses to remove WAL that was never archived: it may be the last of the cluster's data.

use futures::{StreamExt, TryStreamExt, stream};
use swiftwal_postgres::WalName;

use super::{destination::Destination, root::Root};
use crate::{
    error::{Error, Refusal, Result},
    repository::Repository,
};

/// How many files are looked for at the same time.
const LOOKS: usize = 8;

/// Refuses a cluster whose server still had to archive WAL that isn't in the repository.
///
/// # Errors
///
/// [`Error::Refused`] with the first missing file; errors of the storage.
pub(super) async fn refuse_unarchived(repository: &Repository, destination: &Destination) -> Result<()> {
    let data = destination.root(None)?;
    let places = [(Some(data), "pg_wal/"), (destination.wal_root(), "")];
    for (root, directory) in places.into_iter().filter_map(|(root, directory)| Some((root?, directory))) {
        let looks = to_be_archived(root.clone(), directory)?.into_iter().map(|name| async move {
            Ok::<_, Error>(repository.wal_format(name).await?.is_none().then_some(name))
        });
        let looks = stream::iter(looks).buffered(LOOKS).try_filter_map(|missing| async move { Ok(missing) });
        if let Some(name) = looks.boxed().try_next().await? {
            let path = root.path_of(format!("{directory}{name}").as_bytes());
            return Err(Error::Refused(Refusal::destination(
                format!(
                    "{} was never archived, perhaps with later WAL, and the restore would remove it",
                    path.display()
                ),
                format!(
                    "store it first, with swiftwal archive-wal {0}, and restore again; if it isn't needed, remove \
                     archive_status/{name}.ready beside it",
                    path.display()
                ),
            )));
        }
    }
    Ok(())
}

/// Returns the files that the server had to archive, in order. `directory` is that of the WAL below `root`.
fn to_be_archived(mut root: Root, directory: &str) -> Result<Vec<WalName>> {
    let status = format!("{directory}archive_status");
    if !root.exists(status.as_bytes()) {
        return Ok(Vec::new());
    }
    let path = root.path_of(status.as_bytes());
    let entries = root.entries(status.as_bytes()).map_err(Error::local("read", path))?;
    let names = entries
        .iter()
        .filter_map(|(name, _)| std::str::from_utf8(name).ok()?.strip_suffix(".ready")?.parse().ok());
    let mut names: Vec<WalName> = names.collect();
    names.sort_unstable_by_key(ToString::to_string);
    Ok(names)
}
