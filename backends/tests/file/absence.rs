//! A directory that has vanished: no object is reported as missing, and nothing is written.

use std::{fs, os::unix::fs::PermissionsExt};

use futures::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, Result, path::Path as Location};
use tempfile::tempdir;

use super::{obey_file_modes, open};

fn is_not_found<T>(answer: &Result<T>) -> bool {
    matches!(answer, Err(Error::NotFound { .. }))
}

/// Checks that no request is answered, and nothing is written, as if `store`'s directory existed.
async fn refuses_everything(store: &dyn ObjectStore) {
    let name = Location::from("there");
    let other = Location::from("dir/other");
    let answers = [
        store.head(&name).await.map(drop),
        store.get(&name).await.map(drop),
        store.get_ranges(&name, &[0..1, 2..3]).await.map(drop),
        store.delete(&name).await,
        store.copy(&name, &other).await,
        store.rename(&name, &other).await,
        store.list(None).try_collect::<Vec<_>>().await.map(drop),
        store.list_with_offset(None, &other).try_collect::<Vec<_>>().await.map(drop),
        store.list(Some(&"dir".into())).try_collect::<Vec<_>>().await.map(drop),
        store.list_with_delimiter(None).await.map(drop),
        store.put(&name, "x".into()).await.map(drop),
        store.put(&other, "x".into()).await.map(drop),
        store.put_multipart(&other).await.map(drop),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(answer.is_err() && !is_not_found(&answer), "{number}: {answer:?}");
    }
}

#[tokio::test]
async fn nothing_is_answered_or_written_where_the_directory_has_vanished() {
    let dir = tempdir().unwrap();
    let repository = dir.path().join("repository");
    let storage = open(&repository);
    storage.store().put(&"there".into(), "x".into()).await.unwrap();

    fs::remove_dir_all(&repository).unwrap();
    refuses_everything(storage.store()).await;
    assert!(!repository.exists());
}

#[tokio::test]
async fn nothing_is_answered_or_written_where_another_directory_took_the_place() {
    let dir = tempdir().unwrap();
    let repository = dir.path().join("repository");
    let storage = open(&repository);
    storage.store().put(&"there".into(), "x".into()).await.unwrap();

    fs::remove_dir_all(&repository).unwrap();
    fs::create_dir(&repository).unwrap();
    refuses_everything(storage.store()).await;
    assert_eq!(fs::read_dir(&repository).unwrap().count(), 0);
}

#[tokio::test]
async fn a_link_that_leads_nowhere_does_not_prove_absence() {
    let dir = tempdir().unwrap();
    std::os::unix::fs::symlink("/on/a/disk/elsewhere", dir.path().join("moved")).unwrap();
    let answer = open(dir.path()).store().head(&"moved".into()).await;
    assert!(answer.is_err() && !is_not_found(&answer), "{answer:?}");
}

#[tokio::test]
async fn an_object_that_may_not_be_read_is_not_reported_absent() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    storage.store().put(&"x".into(), "x".into()).await.unwrap();
    fs::set_permissions(dir.path().join("x"), fs::Permissions::from_mode(0o000)).unwrap();
    let answer = storage.store().get(&"x".into()).await;
    assert!(answer.is_err() && !is_not_found(&answer), "{answer:?}");
}

#[tokio::test]
async fn an_object_is_reported_as_stored_only_after_it_could_be_made_durable() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    let name = Location::from("x");
    let create = || storage.store().put_opts(&name, "x".into(), PutMode::Create.into());
    storage.store().put(&name, "x".into()).await.unwrap();
    assert!(matches!(create().await, Err(Error::AlreadyExists { .. })));

    // A file that can't be opened can't be flushed.
    fs::set_permissions(dir.path().join("x"), fs::Permissions::from_mode(0o000)).unwrap();
    let answer = create().await;
    assert!(matches!(&answer, Err(Error::Generic { .. })), "{answer:?}");
}

#[tokio::test]
async fn what_is_not_a_regular_file_is_neither_read_nor_taken_for_absent() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let dir = tempdir().unwrap();
    let storage = open(dir.path());
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let name = Location::from("fifo");
    let store = storage.store();
    let outcomes = [
        store.get(&name).await.map(drop),
        store.head(&name).await.map(drop),
        store.get_ranges(&name, std::slice::from_ref(&(0..1))).await.map(drop),
        store.put_opts(&name, "x".into(), PutMode::Create.into()).await.map(drop),
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(Error::Generic { .. })), "{outcome:?}");
    }
}
