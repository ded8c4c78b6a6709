//! Deletions: durable, also in batches, and of empty directories.

use std::fs;

use futures::{StreamExt, stream};
use object_store::{Error, ObjectStore, ObjectStoreExt, path::Path as Location};
use tempfile::tempdir;

use super::{listed, open};

#[tokio::test]
async fn each_deletion_of_a_batch_has_its_own_outcome_in_order() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    for name in ["a", "b", "dir/c"] {
        storage.store().put(&name.into(), "x".into()).await.unwrap();
    }
    let names = ["a", "absent", "dir/c", "a", "b"].map(|name| Ok(Location::from(name)));
    let outcomes: Vec<_> = storage.store().delete_stream(stream::iter(names).boxed()).collect().await;
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(name) => name.as_ref(),
            Err(Error::NotFound { path, .. }) if path == "absent" || path == "a" => "not found",
            Err(error) => panic!("{error}"),
        })
        .collect();
    assert_eq!(told, ["a", "not found", "dir/c", "not found", "b"]);
    assert!(listed(storage.store()).await.is_empty());
}

#[tokio::test]
async fn more_deletions_than_a_batch_holds_all_happen() {
    let dir = tempdir().unwrap();
    let names: Vec<_> = (0..2_500).map(|number| format!("{number:04}")).collect();
    for name in &names {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let storage = open(dir.path());
    let locations: Vec<_> = names.into_iter().map(|name| Ok(Location::from(name))).collect();
    let deleted = storage.store().delete_stream(stream::iter(locations).boxed()).count().await;
    assert_eq!(deleted, 2_500);
    assert!(listed(storage.store()).await.is_empty());
}

#[tokio::test]
async fn directories_go_with_their_last_object_and_the_repository_stays() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    for name in ["...uploading/one/a", "...uploading/two/b"] {
        storage.store().put(&name.into(), "x".into()).await.unwrap();
    }
    storage.store().delete(&"...uploading/one/a".into()).await.unwrap();
    assert!(!dir.path().join("...uploading/one").exists());
    assert!(dir.path().join("...uploading/two/b").exists());
    storage.store().delete(&"...uploading/two/b".into()).await.unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn putting_and_deleting_in_one_directory_at_once_fails_neither() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let marker = |writer: usize| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for round in 0..100 {
                let name = Location::from(format!("...uploading/key/{writer}-{round}"));
                storage.store().put(&name, "x".into()).await.unwrap();
                storage.store().delete(&name).await.unwrap();
            }
        })
    };
    for writer in [marker(0), marker(1), marker(2)] {
        writer.await.unwrap();
    }
}
