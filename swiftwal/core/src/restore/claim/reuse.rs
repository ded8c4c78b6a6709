//! Which content a directory may have that is restored into: files of the same cluster, whose server doesn't run.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use swiftwal_postgres::{ControlFile, printable};

use super::{
    super::{member_name::path_of, root::Root, running, tablespaces},
    Claimant, Found, Reuse,
    marker::{MARKER, cluster_in, has_ended, marker_of},
};
use crate::{
    error::{Error, Refusal, Result},
    repository::file_names::{CONTROL, STAGED_CONTROL},
};

/// The largest control file and `tablespace_map` that are read.
const MOST_BYTES: u64 = 16 << 20;

/// The hint for files of another cluster.
const ANOTHER: &str = "remove everything in it, or restore into another directory";

/// The content that is accepted in a directory.
#[derive(Clone, Copy, Debug)]
pub(in crate::restore) enum Content<'a> {
    /// A data directory of the same cluster.
    Cluster,
    /// That of one of these directories, which belong to the same cluster, or what an interrupted restore left.
    Of(&'a [PathBuf]),
}

impl Content<'_> {
    /// Whether content can be accepted at all. Otherwise the directory must be empty.
    pub(super) fn may_be_accepted(&self, root: &Root, claimant: &Claimant) -> bool {
        match (claimant.reuse, self) {
            (Reuse::Nothing, _) => false,
            (_, Self::Cluster) => true,
            (_, Self::Of(known)) => is_one_of(root.path(), known) || root.clone().exists(MARKER),
        }
    }

    /// Checks the content of a directory, and returns what it is. `is_bare` says that it consists of markers.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] if it doesn't belong to the same cluster, or is in use.
    pub(super) fn check(
        &self,
        root: &mut Root,
        claimant: &Claimant,
        is_locked: bool,
        is_bare: bool,
    ) -> Result<Found> {
        match self {
            Self::Cluster => running::refuse_running(root)?,
            Self::Of(_) => running::refuse_used(root)?,
        }
        let marker = marker_of(root);
        if let Some(marker) = &marker {
            refuse_unfinished(root, marker, is_locked)?;
        }
        let is_known = matches!(self, Self::Of(known) if is_one_of(root.path(), known));
        // A restore that was interrupted leaves no control file, unless it was interrupted before its first change.
        let is_complete = claimant.reuse == Reuse::Interrupted && root.exists(CONTROL);
        match marker.as_deref().and_then(cluster_in).filter(|_| !is_complete) {
            _ if is_known || is_bare => {}
            Some(found) => refuse_other(root, claimant, found)?,
            None => refuse_other_cluster(root, claimant, marker.is_some() && !is_complete)?,
        }
        Ok(if marker.is_some() { Found::Interrupted } else { Found::Cluster })
    }
}

/// Refuses a directory that another restore may be writing into.
fn refuse_unfinished(root: &Root, marker: &str, is_locked: bool) -> Result<()> {
    if is_locked || has_ended(marker) {
        return Ok(());
    }
    Err(Error::Refused(Refusal::destination(
        format!("another process may be restoring into {} ({marker})", root.path().display()),
        "its file system has no locks: if that process has ended, restore into another directory",
    )))
}

/// Refuses a directory whose marker doesn't name the cluster, unless it is a data directory of that cluster.
fn refuse_other_cluster(root: &mut Root, claimant: &Claimant, has_marker: bool) -> Result<()> {
    let mut control = |name| ControlFile::parse(&root.read(name, MOST_BYTES)?).ok();
    // A restore may have been interrupted between its last two steps.
    let (control, staged) = (control(CONTROL), control(STAGED_CONTROL));
    let found = match claimant.reuse {
        Reuse::Interrupted => staged.filter(|_| control.is_none()),
        _ => control.or(staged),
    };
    if let Some(found) = found {
        return refuse_other(root, claimant, found.system_identifier);
    }
    let path = root.path().display();
    let refusal = match claimant.reuse {
        _ if has_marker => Refusal::destination(
            format!("{path} contains what a restore left that doesn't say whose files they are"),
            ANOTHER,
        ),
        Reuse::Interrupted => Refusal::destination(
            format!("{path} isn't what an interrupted restore left"),
            "to restore over a stopped server of the same cluster, use --delta",
        ),
        _ => Refusal::destination(
            format!("{path} isn't the data directory of a cluster: it has no valid global/pg_control"),
            "give the data directory of the cluster that was backed up, or an empty or a new directory",
        ),
    };
    Err(Error::Refused(refusal))
}

fn refuse_other(root: &Root, claimant: &Claimant, found: u64) -> Result<()> {
    if claimant.cluster == Some(found) {
        return Ok(());
    }
    Err(Error::Refused(Refusal::destination(
        format!(
            "{} belongs to another cluster, with system identifier {found}; that of backup {} is {}",
            root.path().display(),
            claimant.key,
            claimant.cluster.unwrap_or_default()
        ),
        ANOTHER,
    )))
}

/// Returns the directories outside `data` that belong to its cluster: the targets of its links, and those that its
/// `tablespace_map` names.
pub(in crate::restore) fn directories_of(data: &Root) -> Vec<PathBuf> {
    let mut data = data.clone();
    let mut targets: Vec<Vec<u8>> = Vec::new();
    targets.extend([&b"pg_wal"[..], b"pg_xlog"].iter().filter_map(|name| data.link_target(name)));
    for (name, _) in data.entries(b"pg_tblspc").unwrap_or_default() {
        targets.extend(data.link_target(&[b"pg_tblspc/", name.as_slice()].concat()));
    }
    let map = data.read(b"tablespace_map", MOST_BYTES).unwrap_or_default();
    targets.extend(tablespaces::mapped_directories(&map));
    let real = |target: Vec<u8>| data.path().join(path_of(&target)).canonicalize().ok();
    targets.into_iter().filter_map(real).collect()
}

fn is_one_of(path: &Path, known: &[PathBuf]) -> bool {
    path.canonicalize().is_ok_and(|path| known.contains(&path))
}

/// Returns the directories in `known` that the restore no longer uses, for a message.
pub(in crate::restore) fn unused(known: &[PathBuf], used: &[&Path]) -> Vec<String> {
    let used: Vec<_> = used.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let unused = known.iter().filter(|path| !used.contains(path));
    unused.map(|path| printable(path.as_os_str().as_bytes()).to_string()).collect()
}
