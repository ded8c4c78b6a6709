//! The sweep: which files it finds and removes.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use object_store::ObjectStoreExt;
use swiftwal_core::Storage;
use tempfile::tempdir;

use super::{listed, open};

const HOUR: Duration = Duration::from_secs(3600);

fn age(file: &Path, written: SystemTime) {
    File::options().write(true).open(file).unwrap().set_modified(written).unwrap();
}

async fn leftovers(storage: &Storage, before: SystemTime) -> Vec<String> {
    let before = Timestamp::try_from(before).unwrap();
    let mut names = storage.sweeper().unwrap().leftovers(before, Vec::new()).await.unwrap();
    names.sort();
    names
}

#[tokio::test]
async fn only_staged_files_that_nobody_writes_to_are_leftovers() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let begun = SystemTime::UNIX_EPOCH + 1_000_000 * HOUR;
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::create_dir_all(dir.path().join("...uploading/20130828T1810Z")).unwrap();
    for (name, written) in [
        ("wal_00000002.history#1", begun - HOUR),
        ("...uploading/20130828T1810Z/id#23", begun - HOUR),
        ("cluster.json#1", begun),
        ("object", begun - HOUR),
        // A file of another program.
        ("#draft.txt#1", begun - HOUR),
        ("notes#2", begun - HOUR),
        ("sub/wal_00000002.history#1", begun - HOUR),
        ("a#b", begun - HOUR),
        ("a#", begun - HOUR),
    ] {
        fs::write(dir.path().join(name), "x").unwrap();
        age(&dir.path().join(name), written);
    }
    let found = leftovers(&storage, begun).await;
    assert_eq!(found, ["...uploading/20130828T1810Z/id#23", "wal_00000002.history#1"]);

    storage.sweeper().unwrap().remove(&found).await.unwrap();
    assert_eq!(leftovers(&storage, begun).await, [""; 0]);
    for left in ["cluster.json#1", "#draft.txt#1", "notes#2", "sub/wal_00000002.history#1"] {
        assert!(dir.path().join(left).exists(), "{left}");
    }
    assert_eq!(listed(storage.store()).await.len(), 3);
    storage.sweeper().unwrap().remove(&found).await.unwrap();
}

#[tokio::test]
async fn an_upload_in_progress_becomes_an_object_although_a_sweep_came_by() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let begun = fs::metadata(dir.path()).unwrap().modified().unwrap();
    let mut upload = storage.store().put_multipart(&"cluster.json".into()).await.unwrap();
    upload.put_part("one ".into()).await.unwrap();
    assert_eq!(leftovers(&storage, begun).await, [""; 0]);
    assert_eq!(leftovers(&storage, begun + HOUR).await, ["cluster.json#1"]);
    upload.put_part("two".into()).await.unwrap();
    assert!(listed(storage.store()).await.is_empty());
    upload.complete().await.unwrap();
    let stored = storage.store().get(&"cluster.json".into()).await.unwrap().bytes().await.unwrap();
    assert_eq!(stored, "one two");
}

#[tokio::test]
async fn an_aborted_upload_leaves_nothing() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let mut upload = storage.store().put_multipart(&"cluster.json".into()).await.unwrap();
    upload.put_part("one".into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_sweep_removes_nothing_that_is_not_a_leftover() {
    let dir = tempdir().unwrap();
    let outside = dir.path().join("outside#1");
    let storage = open(&dir.path().join("repository"));
    fs::write(&outside, "x").unwrap();
    storage.store().put(&"object".into(), "x".into()).await.unwrap();
    fs::write(dir.path().join("repository/cluster.json#1"), "x").unwrap();
    for name in ["object", "notes#1", "../outside#1", "", "/"] {
        let names = ["cluster.json#1".to_owned(), name.to_owned()];
        let refused = storage.sweeper().unwrap().remove(&names).await.unwrap_err();
        assert!(refused.to_string().contains("isn't a leftover of an upload"), "{refused}");
    }
    assert!(outside.exists() && dir.path().join("repository/cluster.json#1").exists());
}

#[test]
fn memory_leaves_nothing_to_sweep() {
    let memory = "memory://sweep".parse().unwrap();
    let storage = swiftwal_backends::registry().open(&memory, &swiftwal_core::Options::default()).unwrap();
    assert!(storage.sweeper().is_none());
}
