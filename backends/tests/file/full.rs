//! A full file system.

use std::{fs, io::ErrorKind, path::Path, process::Command, sync::Arc};

use object_store::{ObjectStoreExt, PutPayload};
use swiftwal_core::{Repository, SystemClock};
use tempfile::tempdir;

use super::open;

/// A file system of a few pages in memory, unmounted when dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    /// Returns None if this user may not mount one.
    fn mount(at: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "swiftwal-test"]).arg(at);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("skipped: only root can mount a small file system");
        }
        mounted.then_some(Self(at))
    }

    /// Uses up its space and, if `inodes` is set, its inodes.
    fn fill(&self, inodes: bool) {
        let filled = fs::write(self.0.join("filler"), [0; 1 << 17]).unwrap_err();
        assert_eq!(filled.kind(), ErrorKind::StorageFull);
        let mut fillers = (0..64).map(|number| fs::write(self.0.join(format!("filler-{number}")), ""));
        assert!(!inodes || fillers.any(|written| written.is_err()));
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_full_file_system_tells_the_time_and_can_be_pruned() {
    let dir = tempdir().unwrap();
    let Some(small) = Small::mount(dir.path()) else { return };
    let storage = open(small.0);
    storage.store().put(&"wal_00000002.history".into(), "x".into()).await.unwrap();
    small.fill(false);
    assert!(storage.clock().unwrap().now().await.is_ok());

    small.fill(true);
    assert!(storage.store().put(&"wal_00000003.history".into(), PutPayload::new()).await.is_err());
    let repository = Repository::new(storage.clone(), "a full one", Arc::new(SystemClock));
    repository.check_removal().await.unwrap();
    storage.store().delete(&"wal_00000002.history".into()).await.unwrap();
    storage.store().put(&"wal_00000003.history".into(), PutPayload::new()).await.unwrap();
}
