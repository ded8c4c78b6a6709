//! Refuses to remove WAL that isn't in the repository: it may be the last of the cluster's data.

use std::path::PathBuf;

use futures::TryStreamExt;
use swiftwal_postgres::{ControlFile, WalName};

use super::{destination::Destination, member_name::path_of, root::Root};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        completeness::missing_of,
        file_names::{CONTROL, CONTROL_BYTES, LABEL, WAL},
    },
};

/// A directory with WAL.
struct WalDirectory {
    root: Root,
    /// Its name below `root`; empty for `root` itself.
    name: &'static [u8],
}

/// Refuses a cluster whose WAL isn't all in the repository: the server still had to archive files, or it crashed, so that
/// nobody knows.
///
/// # Errors
///
/// [`Error::Refused`]; errors of the storage.
pub(super) async fn refuse_unarchived(repository: &Repository, destination: &Destination) -> Result<()> {
    let mut data = destination.root(None)?;
    let directories = wal_directories(&mut data, destination.wal_root());
    for directory in &directories {
        let names = directory.to_be_archived()?.into_iter();
        let missing: Vec<WalName> = missing_of(repository, names, |name| name).try_collect().await?;
        if let Some(first) = missing.first() {
            let (path, count) = (directory.path(), missing.len());
            let location = repository.location();
            return refused(
                format!(
                    "{} contains WAL that isn't in {location}, and that the restore would give up: {count} of the files that \
                     the server had to archive, from {first} on",
                    path.display()
                ),
                format!(
                    "store it first, with your own options for swiftwal: cd {} && for file in $(cd archive_status && ls \
                     *.ready); do swiftwal archive-wal \"${{file%.ready}}\" || break; done. If it isn't needed, give \
                     --discard-wal",
                    path.display()
                ),
            );
        }
    }
    if has_crashed(&mut data)
        && let Some(directory) = directories.first()
    {
        let (data, wal) = (data.path().display(), directory.path());
        return refused(
            format!(
                "the server in {data} wasn't shut down, so its last transactions may be only in {}",
                wal.display()
            ),
            format!(
                "if they matter, start the server and stop it again, so that it archives them, or keep a copy, as with cp -a \
                 {}/. COPY; then give --discard-wal",
                wal.display()
            ),
        );
    }
    Ok(())
}

fn refused(what: String, hint: String) -> Result<()> {
    Err(Error::Refused(Refusal::destination(what, hint)))
}

/// Returns the directories with the cluster's WAL: below the data directory, where its link leads, and the restore's own.
fn wal_directories(data: &mut Root, own: Option<Root>) -> Vec<WalDirectory> {
    let mut directories = Vec::new();
    for name in WAL {
        let linked = data.link_target(name).map(|target| data.path().join(path_of(&target)));
        match linked.and_then(|target| Root::open(&target, None).ok()) {
            Some(root) => directories.push(WalDirectory { root, name: b"" }),
            None if data.exists(name) => directories.push(WalDirectory { root: data.clone(), name }),
            None => {}
        }
    }
    directories.extend(own.map(|root| WalDirectory { root, name: b"" }));
    directories
}

impl WalDirectory {
    fn path(&self) -> PathBuf {
        self.root.path_of(self.name)
    }

    /// Returns the files that the server had to archive, in order.
    fn to_be_archived(&self) -> Result<Vec<WalName>> {
        let mut root = self.root.clone();
        let status = [self.name, b"archive_status"].join(&b'/');
        let status = status.strip_prefix(b"/").unwrap_or(&status);
        if !root.exists(status) {
            return Ok(Vec::new());
        }
        let entries = root.entries(status).map_err(Error::local("read", root.path_of(status)))?;
        let names = entries
            .iter()
            .filter_map(|(name, _)| std::str::from_utf8(name).ok()?.strip_suffix(".ready")?.parse().ok());
        let mut names: Vec<WalName> = names.collect();
        names.sort_unstable_by_key(ToString::to_string);
        Ok(names)
    }
}

/// Whether a server has run in the data directory and wasn't shut down. Where there is a `backup_label`, none has run
/// since a restore.
fn has_crashed(data: &mut Root) -> bool {
    let control = data.read(CONTROL, CONTROL_BYTES).and_then(|file| ControlFile::was_shut_down(&file));
    control == Some(false) && !data.exists(LABEL)
}
