//! The names of objects and of files, and what a listing shows.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
};

use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, path::Path as Location};
use tempfile::tempdir;

use super::{listed, obey_file_modes, open};

async fn objects(store: &dyn ObjectStore) -> Vec<ObjectMeta> {
    store.list(None).try_collect().await.unwrap()
}

#[tokio::test]
async fn names_of_every_kind_are_listed_as_they_were_put() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let names = [
        "...uploading/20130828T1810Z/9d0f0f0e-6b7c-4c56-8f53-8ad0e5a1fd21",
        "wal_000000010000000000000001.zst",
        "pg_basebackup_20130828T1810Z.16384.tar.zst",
        "with space",
        "100%",
        "percent%20encoded",
        "a#b",
        "a#",
        "a#b#c",
        "dir#1/file",
        "question?",
        "back\\slash",
        "ümläut/日本",
        "~tilde'quote\"&+=;:@,$!*()[]{}|^`<>",
        ".hidden",
        "-dash",
        "deep/er/and/deep/er",
    ];
    for name in names {
        let name = Location::parse(name).unwrap();
        storage.store().put(&name, name.to_string().into()).await.unwrap();
    }
    let mut put: Vec<_> = names.iter().map(|name| Location::parse(name).unwrap()).collect();
    put.sort();
    assert_eq!(listed(storage.store()).await, put);
    for name in put {
        let stored = storage.store().get(&name).await.unwrap().bytes().await.unwrap();
        assert_eq!(stored, name.as_ref().as_bytes());
    }
}

#[tokio::test]
async fn a_listing_says_of_each_object_what_asking_for_it_says() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    for (name, size) in [("empty", 0), ("one", 1), ("dir/large", 300_000)] {
        let put = storage.store().put(&name.into(), vec![b'x'; size].into()).await.unwrap();
        assert_eq!(put.e_tag, storage.store().head(&name.into()).await.unwrap().e_tag);
    }
    let listed = objects(storage.store()).await;
    assert_eq!(listed.len(), 3);
    for object in listed {
        assert_eq!(object, storage.store().head(&object.location).await.unwrap());
    }
}

#[tokio::test]
async fn each_of_12000_names_is_listed_once() {
    let dir = tempdir().unwrap();
    let names: BTreeSet<_> = (0..12_000).map(|number| format!("wal_{number:024X}.zst")).collect();
    for name in &names {
        fs::write(dir.path().join(name), "x").unwrap();
    }
    let listed = objects(open(dir.path()).store()).await;
    assert_eq!(listed.len(), names.len());
    assert_eq!(listed.into_iter().map(|object| object.location.into()).collect::<BTreeSet<_>>(), names);
}

#[tokio::test]
async fn names_that_only_unfinished_uploads_have_are_neither_listed_nor_taken() {
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    for name in ["x#1", "a#b#1"] {
        fs::write(dir.path().join(name), "part").unwrap();
        let name = Location::parse(name).unwrap();
        assert!(storage.store().put(&name, "x".into()).await.is_err());
        assert!(storage.store().get(&name).await.is_err());
        assert!(storage.store().copy(&name, &"copy".into()).await.is_err());
        assert!(storage.store().rename(&name, &"renamed".into()).await.is_err());
        assert!(storage.store().delete(&name).await.is_err());
    }
    assert!(listed(storage.store()).await.is_empty());
    let one_level = storage.store().list_with_delimiter(None).await.unwrap();
    assert!(one_level.objects.is_empty(), "{:?}", one_level.objects);
}

#[tokio::test]
async fn what_can_not_be_an_object_is_left_out_of_a_listing() {
    let dir = tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    fs::write(dir.path().join("new\nline"), "x").unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"not utf-8 \xff")), "x").unwrap();
    symlink("nowhere", dir.path().join("dangling")).unwrap();
    symlink(".", dir.path().join("circle")).unwrap();
    fs::write(dir.path().join("plain"), "x").unwrap();
    symlink("plain", dir.path().join("link")).unwrap();
    let store = open(dir.path());
    assert_eq!(listed(store.store()).await, ["link".into(), "plain".into()] as [Location; 2]);
}

#[tokio::test]
async fn files_that_go_during_a_listing_do_not_fail_it() {
    // More than a listing examines before it returns its first name.
    const FILES: usize = 20_000;
    let dir = tempdir().unwrap();
    for number in 0..FILES {
        fs::write(dir.path().join(format!("{number:04}")), "x").unwrap();
    }
    let storage = open(dir.path());
    let mut listing = storage.store().list(None);
    assert!(listing.try_next().await.unwrap().is_some());
    for number in 0..FILES {
        fs::remove_file(dir.path().join(format!("{number:04}"))).unwrap();
    }
    let rest: Vec<_> = listing.try_collect().await.unwrap();
    assert!(rest.len() < FILES - 1);
}

#[tokio::test]
async fn directories_that_are_not_ours_to_read_are_skipped_and_our_own_are_an_error() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    let close = |name: &str, mode| {
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(mode)).unwrap()
    };
    for name in ["private", "...uploading"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("lost+found/#12"), "found by fsck").unwrap();
    fs::write(dir.path().join("lost+found/file"), "found by fsck").unwrap();
    fs::write(dir.path().join("plain"), "x").unwrap();
    close("private", 0o000);
    let storage = open(dir.path());
    assert_eq!(listed(storage.store()).await, ["plain".into()] as [Location; 1]);
    let leftovers = storage.sweeper().unwrap().leftovers(jiff::Timestamp::MAX, Vec::new()).await.unwrap();
    assert_eq!(leftovers, [""; 0]);

    close("...uploading", 0o000);
    let refused = storage.store().list(None).try_collect::<Vec<_>>().await;
    assert!(refused.is_err(), "{refused:?}");
    close("...uploading", 0o700);
    close("private", 0o700);
}
