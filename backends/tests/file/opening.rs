//! Opening a repository's directory: what is created, and what is refused.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use swiftwal_backends::registry;
use swiftwal_core::{OpenError, Options};
use tempfile::tempdir;

use super::{obey_file_modes, open, try_open};

fn reason(opened: Result<swiftwal_core::Storage, OpenError>) -> String {
    match opened {
        Err(error @ OpenError::Unavailable { source: Some(_), .. }) => {
            format!("{error}; {}", error.hint().unwrap_or_default())
        }
        other => panic!("{other:?}"),
    }
}

fn set_mode(dir: &Path, mode: u32) {
    fs::set_permissions(dir, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_missing_directory_is_made_for_its_owner_alone_when_something_will_be_stored() {
    let dir = tempdir().unwrap();
    let repository = dir.path().join("repository");
    open(&repository);
    assert_eq!(fs::metadata(repository).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_missing_directory_is_an_error_to_one_who_only_reads() {
    let dir = tempdir().unwrap();
    let repository = dir.path().join("repository");
    assert!(reason(try_open(&repository, false)).contains("doesn't exist; is its disk mounted?"));
    assert!(!repository.exists());
}

#[test]
fn a_missing_parent_is_never_made() {
    let dir = tempdir().unwrap();
    let disk = dir.path().join("disk");
    assert!(reason(try_open(&disk.join("repository"), true)).contains("mount its disk"));
    assert!(!disk.exists());
}

#[test]
fn a_file_is_not_a_repository() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for create in [false, true] {
        assert!(reason(try_open(file.path(), create)).contains("isn't a directory"));
    }
}

#[test]
fn an_unwritable_directory_is_refused_to_one_who_stores_and_opened_to_one_who_reads() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    set_mode(dir.path(), 0o500);
    assert!(reason(try_open(dir.path(), true)).contains("write to"));
    assert!(try_open(dir.path(), false).is_ok());
    set_mode(dir.path(), 0o700);
}

#[test]
fn root_stores_nothing_where_another_user_could_not_read_it_and_may_read() {
    let dir = tempdir().unwrap();
    let owner = fs::metadata(dir.path()).unwrap().uid();
    if owner == 0 {
        chown(dir.path(), Some(1), None).unwrap();
        let reason = reason(try_open(dir.path(), true));
        let hint =
            format!("run this as that user, for example with sudo -u '{}'", swiftwal_core::user_name(1));
        assert!(reason.ends_with(&hint), "{reason}");
        assert!(try_open(dir.path(), false).is_ok());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
    chown(dir.path(), Some(owner), None).unwrap();
    assert!(try_open(dir.path(), true).is_ok());
}

#[tokio::test]
async fn a_directory_that_can_not_be_listed_gives_what_is_asked_for_by_name() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    open(dir.path()).store().put(&"x".into(), "x".into()).await.unwrap();
    set_mode(dir.path(), 0o300);
    let storage = try_open(dir.path(), false).unwrap();
    assert!(storage.store().head(&"x".into()).await.is_ok());
    let absent = storage.store().head(&"y".into()).await.unwrap_err();
    assert!(matches!(absent, object_store::Error::NotFound { .. }), "{absent}");
    let listed: Result<Vec<_>, _> = storage.store().list(None).try_collect().await;
    assert!(listed.is_err());
    assert!(reason(try_open(dir.path(), true)).contains("can't read and write to"));
    set_mode(dir.path(), 0o700);
}

#[test]
fn a_directory_whose_files_can_not_be_reached_is_refused() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    set_mode(dir.path(), 0o600);
    assert!(reason(try_open(dir.path(), false)).contains("give it to the user"));
    set_mode(dir.path(), 0o700);
}

#[test]
fn no_directory_is_made_where_its_parent_is_unwritable() {
    obey_file_modes();
    let dir = tempdir().unwrap();
    set_mode(dir.path(), 0o500);
    assert!(reason(try_open(&dir.path().join("new"), true)).contains("give it to the user"));
    set_mode(dir.path(), 0o700);
}

#[test]
fn a_url_that_names_no_local_directory_is_invalid() {
    for location in ["file://backups/pgprod", "file:///backups?x", "file:///backups#1", "memory://"] {
        let opened = registry().open(&location.parse().unwrap(), &Options::default());
        assert!(matches!(opened, Err(OpenError::InvalidLocation { .. })), "{location}: {opened:?}");
    }
}

#[tokio::test]
async fn a_directory_whose_url_is_percent_encoded_is_the_one_it_names() {
    let dir = tempdir().unwrap();
    let repository = dir.path().join("a #1 & 100%?");
    open(&repository).store().put(&"x".into(), "x".into()).await.unwrap();
    assert!(repository.join("x").is_file());
}

#[tokio::test]
async fn memory_is_shared_by_name_and_by_nothing_else() {
    let open = |name: &str| registry().open(&name.parse().unwrap(), &Options::default()).unwrap();
    let one = open("memory://one");
    one.store().put(&"x".into(), "x".into()).await.unwrap();
    assert!(open("memory://one/").store().head(&"x".into()).await.is_ok());
    assert!(open("memory://One").store().head(&"x".into()).await.is_err());
    assert!(open("memory://one/more").store().head(&"x".into()).await.is_err());
}
