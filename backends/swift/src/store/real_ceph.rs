//! The store on Ceph's radosgw: large objects whose manifests can't be read, and names that the server doesn't protect.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use object_store::{
    Attribute, Error, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    multipart::MultipartStore, path::Path,
};

use crate::{
    StoreError, Swift, SwiftBuilder,
    client::{
        COPY_FROM, Request,
        live::{CEPH, Settings, before, relay::Relay, settings},
    },
    target::Target,
};

const MIB: usize = 1 << 20;

async fn open(name: &str, settings: Settings) -> Swift {
    let name = format!("test-{name}-{}", uuid::Uuid::new_v4().simple());
    let swift = SwiftBuilder::new(name).with_settings(settings).with_create(true).build().unwrap();
    assert_eq!(swift.list(None).count().await, 0);
    swift
}

async fn fixture(name: &str) -> Swift {
    open(name, settings(CEPH)).await
}

/// A store behind a relay, whose requests so far are forgotten.
async fn relayed(name: &str) -> (Swift, Relay) {
    let (settings, relay) = before(CEPH).await;
    let swift = open(name, settings).await;
    relay.take_requests();
    (swift, relay)
}

/// Returns the methods of the requests since the previous call, in order.
fn sent(relay: &Relay) -> Vec<String> {
    let method = |request: String| request.split(' ').next().unwrap().to_owned();
    relay.take_requests().into_iter().map(method).collect()
}

async fn put_large(swift: &Swift, name: &str, parts: &[Bytes]) {
    let mut upload = swift.put_multipart(&Path::from(name)).await.unwrap();
    for part in parts {
        upload.put_part(part.clone().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
}

/// Stores a large object as another client may do: its segments are beside it.
async fn put_foreign(swift: &Swift, name: &str, parts: &[&'static str]) {
    let mut manifest = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let segment = format!("{name}.seg/{number}");
        swift.put(&Path::from(segment.as_str()), (*part).into()).await.unwrap();
        manifest.push(format!(
            r#"{{"path": "/{}/{segment}", "size_bytes": {}}}"#,
            swift.container(),
            part.len()
        ));
    }
    let request = Request::object(Method::PUT, swift.container(), name)
        .query("multipart-manifest", "put")
        .body(format!("[{}]", manifest.join(",")).into());
    assert_eq!(swift.0.handles.containers.send(request).await.unwrap().status, StatusCode::CREATED);
}

async fn segments(swift: &Swift) -> Vec<String> {
    let entries = swift.0.handles.listings.names_under(swift.segments_container(), "").await.unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

async fn listed(swift: &Swift) -> Vec<ObjectMeta> {
    swift.list(None).try_collect().await.unwrap()
}

async fn names(swift: &Swift) -> Vec<String> {
    listed(swift).await.into_iter().map(|meta| meta.location.to_string()).collect()
}

async fn content(swift: &Swift, name: &str) -> Bytes {
    swift.get(&Path::from(name)).await.unwrap().bytes().await.unwrap()
}

fn later() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(1 << 20)
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn a_large_object_is_stored_listed_read_replaced_and_deleted_whole() {
    let (swift, location) = (fixture("large").await, Path::from("a"));
    let parts = [Bytes::from(vec![1; MIB]), Bytes::from(vec![2; MIB])];
    put_large(&swift, "a", &parts).await;
    let listed = listed(&swift).await.remove(0);
    let head = swift.head(&location).await.unwrap();
    assert_eq!((listed.size, &listed.e_tag), (2 * MIB as u64, &head.e_tag));
    let got = swift.get(&location).await.unwrap();
    assert_eq!(got.attributes.get(&Attribute::Metadata("static-large-object".into())), None);
    assert_eq!(got.bytes().await.unwrap(), parts.concat());
    assert_eq!(swift.get_range(&location, MIB as u64 - 1..MIB as u64 + 1).await.unwrap(), [1, 2][..]);

    put_large(&swift, "a", &[Bytes::from("new")]).await;
    assert_eq!(segments(&swift).await.len(), 1);
    swift.put(&location, "plain".into()).await.unwrap();
    assert!(segments(&swift).await.is_empty());
    put_large(&swift, "a", &parts).await;
    swift.delete(&location).await.unwrap();
    assert!(segments(&swift).await.is_empty() && names(&swift).await.is_empty());
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn large_objects_among_others_go_with_their_segments() {
    let (swift, relay) = relayed("deleted").await;
    put_large(&swift, "b", &[Bytes::from("one"), Bytes::from("two")]).await;
    // Its listing has no bytes.
    let copy = Request::object(Method::PUT, swift.container(), "d")
        .header(COPY_FROM, HeaderValue::try_from(format!("{}/b", swift.container())).unwrap());
    assert_eq!(swift.0.handles.containers.send(copy).await.unwrap().status, StatusCode::CREATED);
    for name in ["a", "c", "empty"] {
        swift.put(&Path::from(name), if name == "empty" { "" } else { "x" }.into()).await.unwrap();
    }
    swift.copy(&Path::from("b"), &Path::from("e")).await.unwrap();
    relay.take_requests();
    let all = ["a", "b", "c", "d", "e", "empty"].map(|name| Ok(Path::from(name)));
    swift.delete_stream(stream::iter(all).boxed()).try_collect::<Vec<_>>().await.unwrap();
    let cost = sent(&relay);
    let count = |method: &str| cost.iter().filter(|sent| *sent == method).count();
    assert_eq!((count("DELETE"), count("POST")), (3, 1), "each large object, and all others: {cost:?}");
    assert!(segments(&swift).await.is_empty() && names(&swift).await.is_empty());
}

/// radosgw takes the names in a manifest for encoded ones when it deletes them itself.
#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn segments_whose_names_look_encoded_go_as_well() {
    let swift = fixture("encoded").await;
    put_large(&swift, "a<b", &[Bytes::from("one"), Bytes::from("two")]).await;
    assert_eq!(names(&swift).await, ["a%3Cb"]);
    for _ in 0..2 {
        swift.delete(&Path::from("a<b")).await.unwrap();
        assert!(segments(&swift).await.is_empty() && names(&swift).await.is_empty());
    }
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn large_objects_are_read_under_conditions() {
    let (swift, location) = (fixture("conditions").await, Path::from("a"));
    put_large(&swift, "a", &[Bytes::from("one"), Bytes::from("two")]).await;
    let e_tag = swift.head(&location).await.unwrap().e_tag;
    let none_match = GetOptions { if_none_match: e_tag.clone(), ..GetOptions::default() };
    let same = swift.get_opts(&location, none_match).await;
    assert!(matches!(same, Err(Error::NotModified { .. })), "{same:?}");
    let of = |e_tag| GetOptions { if_match: e_tag, ..GetOptions::default() };
    assert_eq!(swift.get_opts(&location, of(e_tag)).await.unwrap().bytes().await.unwrap(), "onetwo");
    let other = swift.get_opts(&location, of(Some("other".to_owned()))).await;
    assert!(matches!(other, Err(Error::Precondition { .. })), "{other:?}");
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn a_sweep_removes_what_is_left_over_and_nothing_that_an_object_consists_of() {
    let swift = fixture("sweep").await;
    put_large(&swift, "live", &[Bytes::from("one"), Bytes::from("two")]).await;
    put_large(&swift, "moved", &[Bytes::from("three"), Bytes::from("four")]).await;
    let whole = segments(&swift).await;
    // Another client has copied the manifest and deleted the original, but not its segments.
    let copy = Request::object(Method::PUT, swift.container(), "copy")
        .header(COPY_FROM, HeaderValue::try_from(format!("{}/moved", swift.container())).unwrap());
    assert_eq!(swift.0.handles.containers.send(copy).await.unwrap().status, StatusCode::CREATED);
    swift.0.handles.deletion.delete_one(&Target::new(swift.container(), "moved")).await.unwrap();
    let mut abandoned = swift.put_multipart(&Path::from("live")).await.unwrap();
    abandoned.put_part("abandoned".into()).await.unwrap();
    drop(abandoned);

    for listed in [Vec::new(), listed(&swift).await] {
        let left = swift.leftovers_after_listing(later(), listed).await.unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
        swift.remove_leftovers(&left).await.unwrap();
        assert_eq!(segments(&swift).await, whole);
        let mut again = swift.put_multipart(&Path::from("live")).await.unwrap();
        again.put_part("abandoned".into()).await.unwrap();
    }
    assert_eq!(content(&swift, "live").await, "onetwo");
    assert_eq!(content(&swift, "copy").await, "threefour");
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn a_live_upload_with_a_surplus_segment_is_not_swept_in_favour_of_an_abandoned_one() {
    let (swift, location) = (fixture("surplus").await, Path::from("a"));
    let id = swift.create_multipart(&location).await.unwrap();
    let part = swift.put_part(&location, &id, 0, "one".into()).await.unwrap();
    swift.complete_multipart(&location, &id, vec![part]).await.unwrap();
    let surplus = segments(&swift).await.remove(0).replace("/00000000-", "/00000001-");
    let put = Request::object(Method::PUT, swift.segments_container(), surplus).body("surplus".into());
    swift.0.handles.containers.send(put).await.unwrap();
    let mut abandoned = swift.put_multipart(&location).await.unwrap();
    abandoned.put_part("one".into()).await.unwrap();
    drop(abandoned);

    for listed in [Vec::new(), listed(&swift).await] {
        assert_eq!(swift.leftovers_after_listing(later(), listed).await.unwrap(), [""; 0]);
    }
    swift.abort_multipart(&location, &id).await.unwrap();
    assert_eq!(content(&swift, "a").await, "one");
    swift.delete(&location).await.unwrap();
    let left = swift.leftovers(later()).await.unwrap();
    swift.remove_leftovers(&left).await.unwrap();
    assert_eq!(segments(&swift).await, [""; 0]);
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn an_upload_of_the_same_content_replaces_the_segments_and_leaves_no_surplus_ones() {
    let (swift, location) = (fixture("same").await, Path::from("a"));
    for _ in 0..2 {
        put_large(&swift, "a", &[Bytes::from("one"), Bytes::from("two")]).await;
        assert_eq!(segments(&swift).await.len(), 2);
    }
    let id = swift.create_multipart(&location).await.unwrap();
    let mut parts = Vec::new();
    for (number, part) in ["one", "two", "surplus"].into_iter().enumerate() {
        parts.push(swift.put_part(&location, &id, number, part.into()).await.unwrap());
    }
    parts.truncate(2);
    swift.complete_multipart(&location, &id, parts.clone()).await.unwrap();
    assert_eq!(segments(&swift).await.len(), 2);
    // Its completion wasn't acknowledged.
    swift.complete_multipart(&location, &id, parts).await.unwrap();
    assert_eq!(segments(&swift).await.len(), 2);
    assert_eq!(content(&swift, "a").await, "onetwo");
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn an_upload_that_fails_or_is_aborted_leaves_the_object_and_nothing_else() {
    let (swift, location) = (fixture("aborted").await, Path::from("a"));
    put_large(&swift, "a", &[Bytes::from("one"), Bytes::from("two")]).await;
    let whole = segments(&swift).await;
    let mut late = swift.create_in_parts(&location);
    late.put_part("late".into()).await.unwrap();
    let refused = late.complete().await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
    late.abort().await.unwrap();
    assert_eq!(segments(&swift).await, whole);
    // Of the same content, so that no listing tells which of both the object consists of.
    let mut same = swift.create_in_parts(&location);
    for part in ["one", "two"] {
        same.put_part(part.into()).await.unwrap();
    }
    let refused = same.complete().await;
    assert!(matches!(refused, Err(Error::AlreadyExists { .. })), "{refused:?}");
    same.abort().await.unwrap();
    assert_eq!(segments(&swift).await, whole);

    let mut upload = swift.put_multipart(&location).await.unwrap();
    upload.put_part("new".into()).await.unwrap();
    upload.complete().await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(content(&swift, "a").await, "new");
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn an_object_is_created_only_where_there_is_none() {
    let (swift, relay) = relayed("create").await;
    let create = |name: &'static str, content: &'static str| {
        let swift = swift.clone();
        async move { swift.put_opts(&Path::from(name), content.into(), PutMode::Create.into()).await }
    };
    put_large(&swift, "large", &[Bytes::from("one")]).await;
    let whole = segments(&swift).await;
    relay.take_requests();
    create("a", "one").await.unwrap();
    let (requests, of_object) = (relay.take_requests(), format!("/{}/a", swift.container()));
    let probe = requests.iter().filter(|request| !request.ends_with(&of_object)).count();
    assert_eq!((requests.len(), probe), (6, 3), "{requests:?}");
    assert_eq!(segments(&swift).await, whole);
    relay.take_requests();
    create("b", "two").await.unwrap();
    assert_eq!(sent(&relay), ["HEAD", "PUT", "HEAD"]);
    let taken = create("a", "other").await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    assert_eq!(sent(&relay), ["HEAD"]);
    assert_eq!(content(&swift, "a").await, "one");
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn a_large_object_of_another_client_is_read_copied_and_deleted_whole() {
    let (swift, location) = (fixture("foreign").await, Path::from("a"));
    put_foreign(&swift, "a", &["one", "two"]).await;
    assert_eq!(content(&swift, "a").await, "onetwo");
    assert_eq!(swift.get_range(&location, 2..5).await.unwrap(), "etw");
    swift.copy(&location, &Path::from("copy")).await.unwrap();
    swift.delete(&location).await.unwrap();
    assert_eq!(names(&swift).await, ["copy"]);
    assert_eq!(content(&swift, "copy").await, "onetwo");
    assert_eq!(segments(&swift).await.len(), 1);
    swift.delete(&Path::from("copy")).await.unwrap();
    assert!(segments(&swift).await.is_empty());
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn content_that_no_listing_proves_is_delivered_as_it_is() {
    let swift = fixture("damaged").await;
    put_large(&swift, "a", &[Bytes::from("one"), Bytes::from("two")]).await;
    let (first, place) = (segments(&swift).await.remove(0), swift.segments_container().to_owned());
    let request = |method| Request::object(method, place.clone(), first.clone());
    let client = &swift.0.handles.containers.client;
    client.send(request(Method::PUT).body("eno".into())).await.unwrap();
    // No hash of the content is known, as with a range of an object.
    assert_eq!(content(&swift, "a").await, "enotwo");
    client.send(request(Method::PUT).body("one".into())).await.unwrap();
    assert_eq!(content(&swift, "a").await, "onetwo");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn a_large_object_whose_body_breaks_off_is_continued_and_a_byte_that_changed_is_an_error() {
    let (settings, relay) = before(CEPH).await;
    let swift = open("broken", settings.clone()).await;
    let parts = [Bytes::from(vec![1; 2 * MIB]), Bytes::from(vec![2; 2 * MIB])];
    put_large(&swift, "a", &parts).await;
    let reader = || SwiftBuilder::new(swift.container()).with_settings(settings.clone()).build().unwrap();
    relay.cut(2, MIB as i64);
    assert_eq!(content(&reader(), "a").await, parts.concat());
    assert_eq!(relay.cuts_left(), 0);
    relay.flip(4 * MIB as i64 - 1000);
    let error = reader().get(&Path::from("a")).await.unwrap().bytes().await.unwrap_err();
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    assert!(matches!(source, Some(StoreError::Damaged { .. })), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn a_copy_of_a_large_object_has_its_own_segments_and_attributes() {
    let swift = fixture("copied").await;
    put_large(&swift, "a", &[Bytes::from("one"), Bytes::from("two")]).await;
    swift.rename(&Path::from("a"), &Path::from("b")).await.unwrap();
    assert_eq!((names(&swift).await, content(&swift, "b").await), (vec!["b".to_owned()], "onetwo".into()));
    assert_eq!(segments(&swift).await.len(), 2);
    let head = Request::object(Method::HEAD, swift.container(), "b");
    let headers: HeaderMap = swift.0.handles.containers.send(head).await.unwrap().headers;
    assert!(headers.contains_key("x-static-large-object"));
}
