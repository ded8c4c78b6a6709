//! The claim to a directory that is restored into.
//!
//! Two restores into one directory would damage each other's result, so each directory is claimed before anything is
//! written: by a lock on the opened directory, which ends with the process, and by a marker file that only one process
//! can create. If a restore is killed, the marker remains, and the next restore refuses and says why: the directory may
//! contain files of other programs, so an administrator must remove it. On a file system without locks (NFS), the
//! marker alone is the claim.
//!
//! A restore that reuses files takes over a directory that has content, if it belongs to the same cluster ([`reuse`]).

mod marker;
mod occupied;
mod refusal;
mod reuse;

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::Path,
};

use rustix::{
    fs::{Access, FlockOperation, Mode},
    io::Errno,
};
use swiftwal_postgres::printable;

pub(super) use self::{
    marker::{Claimant, MARKER},
    reuse::{Content, directories_of, unused},
};
use self::{
    marker::{is_marker, marker_of},
    occupied::refuse_content,
    refusal::refusal,
};
use super::{
    owner::parent,
    root::{Owner, Root},
};
use crate::error::{Error, Refusal, Result};

/// How many times a directory that vanishes while it is claimed is looked for again.
const TRIES: u32 = 5;

/// What a restore does with a directory that isn't empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// It refuses the directory.
    #[default]
    Nothing,
    /// It completes what an interrupted restore of the same cluster left, and refuses anything else. If it fails, it
    /// leaves what it has restored, to be completed by the next one.
    Interrupted,
    /// It rewrites the files of the same cluster that differ from the backup, and removes the others.
    Cluster,
}

/// A directory that belongs to this restore until it is dropped.
#[derive(Debug)]
pub(super) struct ClaimedDirectory {
    pub(super) root: Root,
    /// Whether the directory was created here.
    was_absent: bool,
    /// The original mode, if it was changed.
    mode: Option<Mode>,
    found: Found,
}

/// What a claimed directory contained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Files of the same cluster.
    Cluster,
    /// What an interrupted restore of the same cluster left.
    Interrupted,
}

impl ClaimedDirectory {
    /// Whether the directory was created here.
    pub(super) fn was_absent(&self) -> bool {
        self.was_absent
    }

    /// Whether the directory had content, which may be reused.
    pub(super) fn is_reused(&self) -> bool {
        self.found != Found::Nothing
    }

    /// Claims the directory `path` for the restore. It must be empty or absent, unless it has `content` that the restore
    /// may reuse.
    pub(super) fn claim(
        path: &Path,
        owner: Option<Owner>,
        claimant: &Claimant,
        content: Content<'_>,
    ) -> Result<Self> {
        for _ in 0..TRIES {
            let was_absent = create(path).map_err(|error| refusal(path, error))?;
            let root = match Root::open(path, owner) {
                // Another restore that failed has just removed it. A dangling link is reported.
                Err(error)
                    if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() =>
                {
                    continue;
                }
                opened => opened.map_err(|error| refusal(path, error))?,
            };
            let is_locked = lock(&root, FlockOperation::NonBlockingLockExclusive)?;
            if !is_at_its_path(&root) {
                continue;
            }
            let mut claimed = Self { root, was_absent, mode: None, found: Found::Nothing };
            match claimed.mark(claimant, content, is_locked) {
                Ok(()) => return Ok(claimed),
                Err(error) => {
                    claimed.remove_directory();
                    return Err(error);
                }
            }
        }
        Err(Error::Refused(Refusal::destination(
            format!("{} disappears again and again", path.display()),
            "find out which process removes it, or restore into another directory",
        )))
    }

    /// Refuses what [`claim`](Self::claim) would refuse, and changes nothing. Returns the directory, which isn't claimed;
    /// none if it is absent and can be created.
    pub(super) fn look(path: &Path, claimant: &Claimant, content: Content<'_>) -> Result<Option<Self>> {
        let check_access = |path: &Path| {
            rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from)
        };
        if fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let created = parent(path).and_then(|parent| check_access(&parent));
            return created.map(|()| None).map_err(|error| refusal(path, error));
        }
        let root = Root::open(path, None).and_then(|root| check_access(path).map(|()| root));
        let root = root.map_err(|error| refusal(path, error))?;
        let is_locked = lock(&root, FlockOperation::NonBlockingLockShared)?;
        let mut found = Self { root, was_absent: false, mode: None, found: Found::Nothing };
        let checked = found.check(claimant, content, is_locked);
        // Another restore may begin at any time.
        let _ = rustix::fs::flock(found.root.opened(), FlockOperation::Unlock);
        checked.map(|()| Some(found))
    }

    /// Creates the marker, durably.
    fn mark(&mut self, claimant: &Claimant, content: Content<'_>, is_locked: bool) -> Result<()> {
        self.check(claimant, content, is_locked)?;
        self.root.give().map_err(Error::local("restore into", self.root.path()))?;
        claimant.mark(&mut self.root)
    }

    /// Refuses the directory unless it is empty, or its content may be reused.
    fn check(&mut self, claimant: &Claimant, content: Content<'_>, is_locked: bool) -> Result<()> {
        let names = self.root.names().map_err(Error::local("restore into", self.root.path()))?;
        if !names.is_empty() && content.may_be_accepted(&self.root, claimant) {
            let is_bare = names.iter().all(|name| is_marker(name));
            self.found = content.check(&mut self.root, claimant, is_locked, is_bare)?;
            self.root.reuse();
        } else {
            refuse_content(&mut self.root, is_locked)?;
        }
        Ok(())
    }

    /// Closes the directory to other users, as PostgreSQL requires for a data directory.
    pub(super) fn close_to_others(&mut self) -> Result<()> {
        let close = || {
            let mode = Mode::from_raw_mode(rustix::fs::fstat(self.root.opened())?.st_mode);
            if mode.bits() & 0o027 == 0 {
                return Ok(None);
            }
            rustix::fs::fchmod(self.root.opened(), Mode::RWXU)?;
            Ok(Some(mode))
        };
        self.mode = close().map_err(|error: io::Error| refusal(self.root.path(), error))?;
        Ok(())
    }

    /// Closes the directory to all but its owner.
    pub(super) fn close_to_group(&self) -> Result<()> {
        rustix::fs::fchmod(self.root.opened(), Mode::RWXU)
            .map_err(|error| refusal(self.root.path(), error.into()))
    }

    /// Ends the claim: removes the marker, durably.
    pub(super) fn unmark(&self) -> Result<()> {
        let mut root = self.root.clone();
        let removed = root.remove(MARKER).and_then(|()| Ok(rustix::fs::fsync(root.opened())?));
        removed.map_err(Error::local("finish the restore into", root.path()))
    }

    /// Ends the claim to a reused directory in which nothing was changed.
    pub(super) fn give_up(&self) {
        if self.found == Found::Cluster {
            let _ = self.unmark();
        }
    }

    /// Removes everything that this restore has created, including the directory itself if it did, and nothing else.
    ///
    /// # Errors
    ///
    /// What remains, and why.
    pub(super) fn give_back(&self, control: &[u8]) -> Result<(), String> {
        let mut root = self.root.clone();
        // pg_control is removed first, so that even a kill in the middle leaves nothing that could be started.
        let _ = root.remove(control);
        let removed = root.remove_created();
        if let Some(mode) = self.mode {
            let _ = rustix::fs::fchmod(root.opened(), mode);
        }
        let left = root.names().unwrap_or_default();
        if left.is_empty() {
            self.remove_directory();
            return removed.map_err(|error| error.to_string());
        }
        let left: Vec<_> = left.iter().take(5).map(|name| printable(name).to_string()).collect();
        let left = left.join(", ");
        Err(match removed {
            Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => {
                format!("{error}; it still contains {left}")
            }
            _ => format!("it contains files that this restore didn't create, in {left}"),
        })
    }

    /// Removes the directory if it was created here and is empty.
    fn remove_directory(&self) {
        if self.was_absent && is_at_its_path(&self.root) {
            let _ = fs::remove_dir(self.root.path());
        }
    }
}

/// Creates the directory `path` unless it exists. Returns whether it did.
fn create(path: &Path) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Not every file system reports that for an existing directory.
        Err(error) => {
            if fs::metadata(path).is_ok() {
                Ok(false)
            } else {
                Err(error)
            }
        }
        Ok(()) => Ok(true),
    }
}

/// Locks the directory. Returns whether the file system has such locks.
fn lock(root: &Root, operation: FlockOperation) -> Result<bool> {
    match rustix::fs::flock(root.opened(), operation) {
        Err(Errno::WOULDBLOCK) => Err(Error::Refused(Refusal::destination(
            format!(
                "another process is restoring into {}{}",
                root.path().display(),
                marker_of(root).map_or_else(String::new, |marker| format!(" ({marker})"))
            ),
            "wait for it, or restore into another directory",
        ))),
        locked => Ok(locked.is_ok()),
    }
}

/// Whether the path still leads to the opened directory.
fn is_at_its_path(root: &Root) -> bool {
    let (Ok(opened), Ok(found)) = (rustix::fs::fstat(root.opened()), fs::metadata(root.path())) else {
        return false;
    };
    (opened.st_dev, opened.st_ino) == (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn claim(path: &Path) -> Result<ClaimedDirectory> {
        let key = "20130828T1810Z".parse().unwrap();
        let claimant = Claimant { key, cluster: Some(7), reuse: Reuse::Nothing };
        ClaimedDirectory::claim(path, None, &claimant, Content::Cluster)
    }

    fn refused(path: &Path) -> String {
        match claim(path) {
            Err(error) => error.in_full(),
            Ok(claimed) => panic!("{claimed:?}"),
        }
    }

    #[test]
    fn a_directory_that_is_claimed_is_refused_to_others_until_it_is_given_back() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("data");
        let first = claim(&path).unwrap();
        let message = refused(&path);
        assert!(
            message.contains("another process is restoring") && message.contains("backup 20130828T1810Z"),
            "{message}"
        );
        assert!(path.join("swiftwal_restore_in_progress").exists());
        first.give_back(b"x").unwrap();
        assert!(!path.exists());
        drop(first);
        claim(&path).unwrap();
    }

    #[test]
    fn what_a_killed_restore_left_is_named_and_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("data");
        let killed = claim(&path).unwrap();
        killed.root.clone().create_file(b"PG_VERSION", 0o600).unwrap();
        drop(killed);
        let message = refused(&path);
        assert!(
            message.contains("interrupted restore") && message.contains("remove everything"),
            "{message}"
        );
        assert_eq!(path.read_dir().unwrap().count(), 2);
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_refused_for_its_own_reason() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
        fs::write(path("file"), "").unwrap();
        fs::create_dir_all(path("mount/lost+found")).unwrap();
        fs::create_dir_all(path("full/lost+found")).unwrap();
        fs::write(path("full/x"), "").unwrap();
        for (name, message) in [
            ("dangling", "is a symbolic link to "),
            ("file", "is a file"),
            ("file/below", "is a file"),
            ("mount", "restore into a directory below it"),
            ("full", "is not empty"),
            ("absent/data", "doesn't exist; create it first"),
        ] {
            let text = refused(&path(name));
            assert!(text.contains(message), "{name}: {text}");
        }
    }

    #[test]
    fn a_directory_that_was_there_stays_with_its_mode() {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut claimed = claim(scratch.path()).unwrap();
        claimed.close_to_others().unwrap();
        let mode = || fs::metadata(scratch.path()).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o700);
        claimed.give_back(b"x").unwrap();
        assert_eq!((mode(), scratch.path().read_dir().unwrap().count()), (0o755, 0));
    }
}
