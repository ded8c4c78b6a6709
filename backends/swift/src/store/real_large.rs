//! Situations on a real Swift that the public interface can't create: dynamic large objects, which this store never
//! writes, short pages, and connections that break.

use bytes::Bytes;
use futures::TryStreamExt;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, path::Path};

use crate::{
    Swift, SwiftBuilder,
    client::{
        Request,
        live::{NARROW, Settings, V1, before_swift, settings},
    },
    target::Target,
};

const MANIFEST: HeaderName = HeaderName::from_static("x-object-manifest");

fn fixture(name: &str) -> Swift {
    open(name, settings(V1))
}

/// A store on a Swift that allows three segments in a manifest and a hundred names in a listing, and has no bulk
/// deletion.
fn narrow(name: &str) -> Swift {
    open(name, settings(NARROW))
}

fn open(name: &str, settings: Settings) -> Swift {
    let name = format!("test-{name}-{}", uuid::Uuid::new_v4().simple());
    SwiftBuilder::new(name).with_settings(settings).with_create(true).build().unwrap()
}

/// Stores a dynamic manifest whose segments are in the same container.
async fn put_dynamic(swift: &Swift, name: &str, prefix: &str) {
    let manifest = HeaderValue::try_from(format!("{}/{prefix}", swift.container())).unwrap();
    let request = Request::object(Method::PUT, swift.container(), name).header(MANIFEST, manifest);
    assert_eq!(swift.0.handles.containers.send(request).await.unwrap().status, StatusCode::CREATED);
}

async fn put_static(swift: &Swift, name: &str, parts: &[Bytes]) {
    let mut upload = swift.put_multipart(&Path::from(name)).await.unwrap();
    for part in parts {
        upload.put_part(part.clone().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
}

/// Lists the container of the segments.
async fn segments(swift: &Swift) -> Vec<String> {
    let entries = swift.0.handles.listings.names_under(swift.segments_container(), "").await.unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

async fn names(swift: &Swift) -> Vec<String> {
    swift.list(None).map_ok(|meta| meta.location.to_string()).try_collect().await.unwrap()
}

async fn content(swift: &Swift, name: &str) -> Bytes {
    swift.get(&Path::from(name)).await.unwrap().bytes().await.unwrap()
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_dynamic_large_object_is_listed_read_copied_and_deleted_whole() {
    let swift = fixture("dynamic");
    for (name, part) in [("...seg/a b/1/1", "one"), ("...seg/a b/1/2", "two"), ("...seg/a b/2/1", "other")] {
        swift.put(&Path::from(name), part.into()).await.unwrap();
    }
    swift.put(&Path::from("empty"), "".into()).await.unwrap();
    put_dynamic(&swift, "a b", "...seg/a%20b/1/").await;

    let listed: Vec<_> = swift.list(None).try_collect().await.unwrap();
    let size = |name: &str| listed.iter().find(|meta| meta.location.as_ref() == name).unwrap().size;
    assert_eq!((size("a b"), size("empty")), (6, 0));
    assert_eq!(swift.head(&Path::from("a b")).await.unwrap().size, 6);
    assert_eq!(content(&swift, "a b").await, "onetwo");

    swift.copy(&Path::from("a b"), &Path::from("copy")).await.unwrap();
    swift.delete(&Path::from("a b")).await.unwrap();
    assert_eq!(names(&swift).await, ["...seg/a b/2/1", "copy", "empty"]);
    assert_eq!(content(&swift, "copy").await, "onetwo");
    swift.delete(&Path::from("copy")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn what_may_not_be_a_segment_is_not_deleted_with_the_object() {
    let swift = fixture("boundary");
    for name in ["backup/1", "backup.tar"] {
        swift.put(&Path::from(name), "x".into()).await.unwrap();
    }
    put_dynamic(&swift, "backup", "backup").await;
    let error = swift.delete(&Path::from("backup")).await.unwrap_err();
    assert!(error.to_string().contains("backup.tar"), "{error}");
    assert_eq!(names(&swift).await, ["backup", "backup.tar", "backup/1"]);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn pages_are_put_together_whatever_their_length() {
    let swift = fixture("pages");
    for name in ["a/1", "a/2", "b", "c/1", "d"] {
        swift.put(&Path::from(name), "x".into()).await.unwrap();
    }
    for limit in 1..=6 {
        assert_eq!(
            crate::listing::in_pages_of(&swift.0.handles.listings, limit).await,
            ["a/1", "a/2", "b", "c/1", "d"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_body_that_breaks_off_is_continued_where_it_broke() {
    let (settings, relay) = before_swift().await;
    let (whole, location) = (Bytes::from_iter((0..3_u32 << 20).map(|n| (n >> 12) as u8)), Path::from("a"));
    let swift = open("broken", settings.clone());
    swift.put(&location, whole.clone().into()).await.unwrap();

    // A separate client, so that all its connections are new.
    let reader = SwiftBuilder::new(swift.container()).with_settings(settings).build().unwrap();
    relay.cut(2, 1 << 20);
    let read = reader.get(&location).await.unwrap().bytes().await.unwrap();
    assert_eq!(read, whole);
    assert_eq!(relay.cuts_left(), 0);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_object_replaced_while_it_is_read_is_an_error_and_no_mixture() {
    let (settings, relay) = before_swift().await;
    let (location, long) = (Path::from("a"), |byte: u8| Bytes::from(vec![byte; 3 << 20]));
    let swift = open("replaced", settings.clone());
    swift.put(&location, long(1).into()).await.unwrap();
    let reader = SwiftBuilder::new(swift.container()).with_settings(settings).build().unwrap();
    relay.cut(1, 1 << 20);
    let got = reader.get(&location).await.unwrap();
    swift.put(&location, long(2).into()).await.unwrap();
    let error = got.bytes().await.unwrap_err();
    assert!(matches!(error, object_store::Error::Precondition { .. }), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_dynamic_large_object_of_more_segments_than_a_listing_has_can_be_read() {
    let swift = narrow("listings");
    // Swift sends nothing before it has a few KiB.
    let part = Bytes::from(vec![7; 8 << 10]);
    for number in 0..110 {
        swift.put(&Path::from(format!("...seg/{number:03}")), part.clone().into()).await.unwrap();
    }
    put_dynamic(&swift, "a", "...seg/").await;
    let got = swift.get(&Path::from("a")).await.unwrap();
    assert_eq!(got.meta.size, 110 * (8 << 10));
    // From the eleventh segment on Swift sends one a second.
    let first = got.into_stream().try_next().await.unwrap().unwrap();
    assert!(first.iter().all(|byte| *byte == 7));
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_static_large_object_of_ranges_is_read_and_copied() {
    let swift = fixture("ranges");
    swift.put(&Path::from("seg"), "0123456789".into()).await.unwrap();
    let path = format!("/{}/seg", swift.container());
    let manifest = format!(
        r#"[{{"path": "{path}", "range": "2-4"}}, {{"path": "{path}"}}, {{"path": "{path}", "range": "-2"}}]"#
    );
    let request = Request::object(Method::PUT, swift.container(), "a")
        .query("multipart-manifest", "put")
        .body(manifest.into());
    assert_eq!(swift.0.handles.containers.send(request).await.unwrap().status, StatusCode::CREATED);
    assert_eq!(content(&swift, "a").await, "234012345678989");
    swift.copy(&Path::from("a"), &Path::from("copy")).await.unwrap();
    swift.delete(&Path::from("a")).await.unwrap();
    assert_eq!(content(&swift, "copy").await, "234012345678989");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_manifest_whose_report_is_lost_is_stored_by_another_try() {
    let (settings, relay) = before_swift().await;
    let (swift, location) = (open("report", settings), Path::from("multipart"));
    put_static(&swift, "multipart", &[Bytes::from("old")]).await;
    let mut upload = swift.put_multipart(&location).await.unwrap();
    upload.put_part("new".into()).await.unwrap();
    relay.cut_before("Response Status");
    upload.complete().await.unwrap();
    assert!(!relay.is_cut_ahead());
    assert_eq!(content(&swift, "multipart").await, "new");
    assert_eq!(segments(&swift).await.len(), 1);

    // Longer than one object may be. The second try finds what the first has stored, and doesn't know that it is its
    // own.
    let long = Bytes::from(vec![7; 65 << 20]);
    relay.cut_before("Response Status");
    let created = swift.put_opts(&Path::from("long"), long.clone().into(), PutMode::Create.into()).await;
    assert!(created.is_ok() && !relay.is_cut_ahead(), "{created:?}");
    assert_eq!(content(&swift, "long").await, long);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn what_lacks_a_nested_manifest_is_neither_copied_nor_renamed() {
    let (swift, location) = (narrow("truncated"), Path::from("a"));
    put_static(&swift, "a", &vec![Bytes::from("part"); 10]).await;
    let manifest = segments(&swift).await.into_iter().rfind(|name| name.contains("/manifest-1-")).unwrap();
    swift.0.handles.deletion.delete_one(&Target::new(swift.segments_container(), manifest)).await.unwrap();

    let target = Path::from("b");
    for error in [swift.copy(&location, &target).await, swift.rename(&location, &target).await] {
        assert!(matches!(error, Err(object_store::Error::Precondition { .. })), "{error:?}");
    }
    assert_eq!(names(&swift).await, ["a"]);
    swift.delete(&location).await.unwrap();
    assert_eq!(names(&swift).await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_object_stays_as_long_as_a_segment_of_it_cannot_be_deleted() {
    let swift = narrow("stays");
    swift.put(&Path::from("seg"), "x".into()).await.unwrap();
    // No URL can delete it.
    let (odd, copy) = (format!("{}/a/../b", swift.container()), Method::from_bytes(b"COPY").unwrap());
    let destination = HeaderName::from_static("destination");
    let request = Request::object(copy, swift.container(), "seg")
        .header(destination, HeaderValue::try_from(&odd).unwrap());
    assert_eq!(swift.0.handles.containers.send(request).await.unwrap().status, StatusCode::CREATED);
    let manifest = format!(r#"[{{"path": "/{}/seg"}}, {{"path": "/{odd}"}}]"#, swift.container());
    let request = Request::object(Method::PUT, swift.container(), "large")
        .query("multipart-manifest", "put")
        .body(manifest.into());
    assert_eq!(swift.0.handles.containers.send(request).await.unwrap().status, StatusCode::CREATED);

    let error = swift.delete(&Path::from("large")).await.unwrap_err();
    assert!(error.to_string().contains(&odd), "{error}");
    assert!(swift.head(&Path::from("large")).await.is_ok());
}

async fn created(swift: &Swift, name: &str, parts: &[&'static str]) -> Box<dyn MultipartUpload> {
    let mut upload = swift.create_in_parts(&Path::from(name));
    for part in parts {
        upload.put_part((*part).into()).await.unwrap();
    }
    upload
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_object_is_created_in_parts_only_where_there_is_none_and_a_lost_report_makes_it_no_other() {
    let (settings, relay) = before_swift().await;
    let swift = open("created", settings);
    created(&swift, "first", &["one"]).await.complete().await.unwrap();
    relay.take_requests();
    created(&swift, "second", &["one", "two"]).await.complete().await.unwrap();
    assert_eq!(relay.take_requests().len(), 3, "each part, and the manifest");

    let mut upload = created(&swift, "third", &["one", "two"]).await;
    relay.cut_before("Response Status");
    upload.complete().await.unwrap();
    assert!(!relay.is_cut_ahead());
    let whole = segments(&swift).await;

    for taken in ["third", "plain"] {
        swift.put(&Path::from("plain"), "plain".into()).await.unwrap();
        let mut late = created(&swift, taken, &["late"]).await;
        let refused = late.complete().await;
        assert!(matches!(refused, Err(object_store::Error::AlreadyExists { .. })), "{refused:?}");
        late.abort().await.unwrap();
    }
    assert_eq!(segments(&swift).await, whole);
    assert_eq!(
        (content(&swift, "third").await, content(&swift, "plain").await),
        ("onetwo".into(), "plain".into())
    );
}
