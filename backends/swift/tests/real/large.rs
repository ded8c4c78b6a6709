//! Large objects on a real Swift: their parts are stored and removed with them.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    GetOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, multipart::MultipartStore,
    path::Path,
};
use object_store_swift::{StoreError, Swift};

use super::account::{Fixture, NARROW, V1, container};

const MIB: usize = 1 << 20;

/// Longer than one object may be on the test servers, whose limit is 64 MiB.
const LONG: usize = 70 * MIB;

async fn upload(swift: &Swift, location: &Path, parts: &[&'static [u8]]) -> Box<dyn MultipartUpload> {
    let mut upload = swift.put_multipart(location).await.unwrap();
    for part in parts {
        upload.put_part(Bytes::from_static(part).into()).await.unwrap();
    }
    upload
}

async fn content(swift: &Swift, location: &Path) -> Bytes {
    swift.get(location).await.unwrap().bytes().await.unwrap()
}

async fn segment_names(fixture: &Fixture) -> Vec<String> {
    fixture.segments.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

fn end_of_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33)
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn deleting_replacing_and_aborting_leave_no_segment_behind() {
    let fixture = Fixture::new(V1, "segments").await;
    let (swift, location) = (&fixture.swift, Path::from("a/b"));

    upload(swift, &location, &[b"one", b"two"]).await.complete().await.unwrap();
    assert_eq!(content(swift, &location).await, "onetwo");
    assert_eq!(segment_names(&fixture).await.len(), 2);
    swift.delete(&location).await.unwrap();
    assert!(segment_names(&fixture).await.is_empty());

    upload(swift, &location, &[b"one", b"two"]).await.complete().await.unwrap();
    upload(swift, &location, &[b"three"]).await.complete().await.unwrap();
    assert_eq!(content(swift, &location).await, "three");
    assert_eq!(segment_names(&fixture).await.len(), 1);
    swift.put(&location, "plain".into()).await.unwrap();
    assert_eq!(content(swift, &location).await, "plain");
    assert!(segment_names(&fixture).await.is_empty());

    upload(swift, &location, &[b"never"]).await.abort().await.unwrap();
    assert_eq!(content(swift, &location).await, "plain");
    assert!(segment_names(&fixture).await.is_empty());
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn aborting_a_completed_upload_leaves_the_object_whole() {
    let fixture = Fixture::new(V1, "abort").await;
    let location = Path::from("a");
    let mut upload = upload(&fixture.swift, &location, &[b"one"]).await;
    upload.complete().await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(content(&fixture.swift, &location).await, "one");
    assert_eq!(segment_names(&fixture).await.len(), 1);
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_part_that_failed_keeps_the_upload_from_completing() {
    let fixture = Fixture::new(V1, "unfinished").await;
    let mut upload = fixture.swift.put_multipart(&Path::from("a")).await.unwrap();
    drop(upload.put_part("never polled".into()));
    assert!(upload.complete().await.is_err());
    fixture.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn more_segments_than_a_manifest_holds_are_nested_read_copied_and_deleted_whole() {
    // That Swift allows three segments in a manifest.
    let fixture = Fixture::new(NARROW, "nested").await;
    let (swift, location) = (&fixture.swift, Path::from("nested"));
    let bytes = Bytes::from_iter((0..10 * MIB).map(|n| (n / MIB) as u8));
    let mut upload = swift.put_multipart(&location).await.unwrap();
    let parts: Vec<_> =
        (0..10).map(|part| upload.put_part(bytes.slice(part * MIB..(part + 1) * MIB).into())).collect();
    stream::iter(parts).buffer_unordered(4).try_collect::<Vec<_>>().await.unwrap();
    upload.complete().await.unwrap();

    assert_eq!(content(swift, &location).await, bytes);
    let over_the_edge = 3 * MIB - 1..3 * MIB + 1;
    let range = over_the_edge.start as u64..over_the_edge.end as u64;
    assert_eq!(swift.get_range(&location, range).await.unwrap(), bytes[over_the_edge]);
    let listed: Vec<_> = swift.list(None).try_collect().await.unwrap();
    assert_eq!(listed, [swift.head(&location).await.unwrap()]);
    assert_eq!(segment_names(&fixture).await.len(), 10 + 4 + 2, "segments and manifests of two levels");
    assert!(swift.leftovers(end_of_time()).await.unwrap().is_empty());

    let copy = Path::from("copy");
    swift.copy(&location, &copy).await.unwrap();
    swift.delete(&location).await.unwrap();
    assert_eq!(content(swift, &copy).await, bytes);
    swift.delete(&copy).await.unwrap();
    assert!(segment_names(&fixture).await.is_empty());
    fixture.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn what_is_too_long_for_one_object_is_stored_and_read_whole() {
    let fixture = Fixture::new(V1, "long").await;
    let (swift, location) = (&fixture.swift, Path::from("long"));
    let bytes = Bytes::from_iter((0..LONG).map(|n| (n / 4096) as u8));

    swift.put(&location, PutPayload::from(bytes.clone())).await.unwrap();
    assert_eq!(content(swift, &location).await, bytes);
    assert_eq!(segment_names(&fixture).await.len(), 2);
    let create = object_store::PutMode::Create.into();
    let again = swift.put_opts(&location, PutPayload::from(bytes.clone()), create).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    assert_eq!(content(swift, &location).await, bytes);
    assert_eq!(segment_names(&fixture).await.len(), 2);

    let mut upload = swift.put_multipart(&location).await.unwrap();
    upload.put_part(PutPayload::from(bytes.clone())).await.unwrap();
    upload.put_part("end".into()).await.unwrap();
    upload.complete().await.unwrap();
    let end = swift.get_range(&location, LONG as u64 - 1..LONG as u64 + 3).await.unwrap();
    assert_eq!(end[1..], *b"end");
    assert_eq!(segment_names(&fixture).await.len(), 3);
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn containers_that_share_one_for_their_segments_sweep_each_their_own() {
    let fixture = Fixture::new(V1, "shared").await;
    let (first, location) = (&fixture.swift, Path::from("a"));
    let second = container(V1, &format!("{}-2", first.container()))
        .with_segments_container(first.segments_container())
        .with_create(true)
        .build()
        .unwrap();
    upload(first, &location, &[b"one"]).await.complete().await.unwrap();
    let _died = upload(&second, &Path::from("b"), &[b"two"]).await;

    assert!(first.leftovers(end_of_time()).await.unwrap().is_empty());
    let found = second.leftovers(end_of_time()).await.unwrap();
    assert!(found.len() == 1 && found[0].starts_with("b/upload-"), "{found:?}");
    // An upload isn't removed even if the caller names it.
    first.remove_leftovers(&found).await.unwrap();
    assert_eq!(segment_names(&fixture).await.len(), 2);
    second.remove_leftovers(&found).await.unwrap();
    assert_eq!(segment_names(&fixture).await.len(), 1);
    assert_eq!(content(first, &location).await, "one");
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_large_object_replaced_while_it_is_read_is_an_error() {
    let fixture = Fixture::new(V1, "read").await;
    let (swift, location) = (&fixture.swift, Path::from("a"));
    upload(swift, &location, &[b"one"]).await.complete().await.unwrap();
    let got = swift.get(&location).await.unwrap();
    upload(swift, &location, &[b"two"]).await.complete().await.unwrap();
    let error = got.bytes().await.unwrap_err();
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error:?}");
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn more_segments_than_swift_deletes_with_a_manifest_go_all_the_same() {
    // That Swift deletes at most thirty segments.
    let fixture = Fixture::new(NARROW, "manifold").await;
    let (swift, location) = (&fixture.swift, Path::from("a"));
    upload(swift, &location, &[b"part".as_slice(); 40]).await.complete().await.unwrap();
    assert!(segment_names(&fixture).await.len() > 50);
    swift.delete(&location).await.unwrap();
    assert!(segment_names(&fixture).await.is_empty());
    assert_eq!(swift.list(None).count().await, 0);
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_sweep_finds_what_died_and_nothing_else() {
    let fixture = Fixture::new(V1, "sweep").await;
    let swift = &fixture.swift;
    upload(swift, &Path::from("whole"), &[b"one", b"two"]).await.complete().await.unwrap();
    let copied = Path::from("copied");
    swift.copy(&Path::from("whole"), &copied).await.unwrap();
    swift.rename(&copied, &Path::from("renamed")).await.unwrap();
    upload(swift, &Path::from("replaced"), &[b"old"]).await.complete().await.unwrap();
    // It has the same content, so that no listing distinguishes it from what is stored.
    let _died = upload(swift, &Path::from("replaced"), &[b"old"]).await;
    let _died = upload(swift, &Path::from("x/never"), &[b"one"]).await;
    fixture.segments.put(&Path::from("foreign/1700000000.0/3/3/0"), "abc".into()).await.unwrap();

    assert!(swift.leftovers(SystemTime::UNIX_EPOCH).await.unwrap().is_empty(), "all of it is new");
    let found = swift.leftovers(end_of_time()).await.unwrap();
    let objects: Vec<_> = found.iter().map(|upload| upload.split("/upload-").next().unwrap()).collect();
    assert_eq!(objects, ["replaced", "x/never"]);

    // Swift accepts no NUL in a name.
    let refused = format!("\0/upload-{}", "0".repeat(32));
    assert!(swift.remove_leftovers(&[&[refused][..], &found].concat()).await.is_err());
    assert!(swift.leftovers(end_of_time()).await.unwrap().is_empty(), "one that fails keeps no other");
    swift.remove_leftovers(&found).await.unwrap();
    assert!(swift.leftovers(end_of_time()).await.unwrap().is_empty());
    assert_eq!(segment_names(&fixture).await.len(), 2 + 2 + 1 + 1);
    for (name, expected) in [("whole", "onetwo"), ("renamed", "onetwo"), ("replaced", "old")] {
        assert_eq!(content(swift, &Path::from(name)).await, expected);
    }
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_upload_removed_under_its_hands_cant_complete() {
    let fixture = Fixture::new(V1, "race").await;
    let mut upload = upload(&fixture.swift, &Path::from("a"), &[b"one", b"two"]).await;
    let found = fixture.swift.leftovers(end_of_time()).await.unwrap();
    fixture.swift.remove_leftovers(&found).await.unwrap();
    let error = upload.complete().await.unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert!(fixture.swift.head(&Path::from("a")).await.is_err());
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_missing_container_is_never_an_absent_object() {
    let swift = container(V1, &format!("missing-{}", uuid::Uuid::new_v4().simple())).build().unwrap();
    let location = Path::from("a");
    let errors = [
        swift.get(&location).await.unwrap_err(),
        swift.head(&location).await.unwrap_err(),
        swift.put(&location, "x".into()).await.unwrap_err(),
        swift.delete(&location).await.unwrap_err(),
        swift.copy(&location, &Path::from("b")).await.unwrap_err(),
        swift.list_with_delimiter(None).await.unwrap_err(),
        swift.list(None).try_collect::<Vec<_>>().await.unwrap_err(),
        upload_error(&swift, &location).await,
    ];
    for error in errors {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        assert!(matches!(source, Some(StoreError::MissingContainer { .. })), "{error:?}");
    }
}

async fn upload_error(swift: &Swift, location: &Path) -> object_store::Error {
    let mut upload = swift.put_multipart(location).await.unwrap();
    upload.put_part("x".into()).await.unwrap_err()
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn many_are_deleted_at_once_in_order_and_absent_ones_are_no_error() {
    let fixture = Fixture::new(V1, "many").await;
    let swift = &fixture.swift;
    let names: Vec<_> = (0..50).map(|n| Path::from(format!("d/{n:02} <&>"))).collect();
    for name in names.iter().step_by(2) {
        swift.put(name, "x".into()).await.unwrap();
    }
    upload(swift, &names[1], &[b"one"]).await.complete().await.unwrap();
    let given = stream::iter(names.clone()).map(Ok).boxed();
    let deleted: Vec<_> = swift.delete_stream(given).try_collect().await.unwrap();
    assert_eq!(deleted, names);
    assert_eq!(swift.list(None).count().await, 0);
    assert!(segment_names(&fixture).await.is_empty());
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_sweep_never_touches_an_upload_that_is_alive() {
    let fixture = Fixture::new(V1, "alive").await;
    let swift = &fixture.swift;
    let _died = upload(swift, &Path::from("died"), &[b"one"]).await;
    let mut alive = upload(swift, &Path::from("alive"), &[b"one"]).await;
    let before =
        SystemTime::from(fixture.segments.list(None).try_collect::<Vec<_>>().await.unwrap()[1].last_modified);
    alive.put_part("two".into()).await.unwrap();
    let died = Path::from(format!("{}/died", swift.container()));
    let newest = fixture.segments.list(Some(&died)).try_collect::<Vec<_>>().await.unwrap();
    let before = before.max(SystemTime::from(newest[0].last_modified)) + Duration::from_micros(10);
    let found = swift.leftovers(before).await.unwrap();
    assert!(found.len() == 1 && found[0].starts_with("died/"), "{found:?}");
    swift.remove_leftovers(&found).await.unwrap();
    alive.complete().await.unwrap();
    assert_eq!(content(swift, &Path::from("alive")).await, "onetwo");
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_upload_whose_state_the_caller_keeps_can_be_completed_twice_and_aborted() {
    let fixture = Fixture::new(V1, "parts").await;
    let (swift, location) = (&fixture.swift, Path::from("a"));
    let id = swift.create_multipart(&location).await.unwrap();
    let parts = vec![
        MultipartStore::put_part(swift, &location, &id, 0, "one".into()).await.unwrap(),
        MultipartStore::put_part(swift, &location, &id, 1, "two".into()).await.unwrap(),
    ];
    // As after a lost response.
    for _ in 0..2 {
        swift.complete_multipart(&location, &id, parts.clone()).await.unwrap();
        assert_eq!(content(swift, &location).await, "onetwo");
    }
    let other = swift.create_multipart(&location).await.unwrap();
    MultipartStore::put_part(swift, &location, &other, 0, "three".into()).await.unwrap();
    swift.abort_multipart(&location, &other).await.unwrap();
    swift.abort_multipart(&location, &id).await.unwrap();
    assert_eq!(content(swift, &location).await, "onetwo");
    assert_eq!(segment_names(&fixture).await.len(), 2);
    fixture.remove().await;
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn large_objects_are_read_under_conditions() {
    let fixture = Fixture::new(V1, "conditions").await;
    let (swift, location) = (&fixture.swift, Path::from("a"));
    upload(swift, &location, &[b"one", b"two"]).await.complete().await.unwrap();
    let e_tag = swift.head(&location).await.unwrap().e_tag;
    let same = GetOptions { if_none_match: e_tag.clone(), ..GetOptions::default() };
    assert!(matches!(swift.get_opts(&location, same).await, Err(object_store::Error::NotModified { .. })));
    let still = GetOptions { if_match: e_tag, ..GetOptions::default() };
    assert_eq!(swift.get_opts(&location, still).await.unwrap().bytes().await.unwrap(), "onetwo");
    let other = GetOptions { if_match: Some("other".to_owned()), ..GetOptions::default() };
    assert!(matches!(swift.get_opts(&location, other).await, Err(object_store::Error::Precondition { .. })));
    fixture.remove().await;
}
