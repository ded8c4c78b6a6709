//! The cost of operations, and the handling of faults, on a real Swift behind a relay.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderName, Method};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path::Path};

use crate::{
    Config, StoreError, Swift, SwiftBuilder, Timeouts,
    client::{
        Request,
        live::{NARROW, PASSWORD, Settings, V1, before, relay::Relay, relayed, settings},
    },
    concurrency::AT_ONCE,
    object::Shape,
    target::Target,
};

const MIB: usize = 1 << 20;

/// Creates a container, and a store for it that has a token and has sent nothing else, behind a relay.
async fn fixture(account: &[&str], name: &str) -> (Swift, Relay) {
    let (settings, relay) = before(account).await;
    let name = format!("test-{name}-{}", uuid::Uuid::new_v4().simple());
    let swift = SwiftBuilder::new(&name).with_settings(settings.clone()).with_create(true).build().unwrap();
    assert_eq!(swift.list(None).count().await, 0);
    let swift = again(&name, &settings);
    relay.take_requests();
    (swift, relay)
}

fn again(container: &str, settings: &Settings) -> Swift {
    SwiftBuilder::new(container).with_settings(settings.clone()).build().unwrap()
}

/// Returns the requests since the previous call: methods, and the paths below the account without the names of
/// containers and without queries.
fn sent(relay: &Relay, swift: &Swift) -> Vec<String> {
    let short = |request: String| {
        let (request, query) = request.split_once('?').unwrap_or((&request, ""));
        let what = if query.contains("bulk-delete") { " in bulk" } else { "" };
        let (method, path) = request.split_once(' ').unwrap();
        let path = match path.split_once(swift.container()) {
            Some((_, path)) if path.starts_with("_segments") => " segments",
            Some((_, path)) => path,
            None if path == "/info" => " limits",
            None => "",
        };
        format!("{method}{path}{what}")
    };
    relay.take_requests().into_iter().map(short).collect()
}

fn location(name: &str) -> Path {
    Path::from(name)
}

async fn put_all(swift: &Swift, names: &[Path]) {
    let puts = names.iter().map(|name| swift.put_opts(name, "x".into(), PutMode::Create.into()));
    stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(8).try_collect::<Vec<_>>().await.unwrap();
}

async fn put_large(swift: &Swift, name: &str, parts: &[Bytes]) {
    let mut upload = swift.put_multipart(&location(name)).await.unwrap();
    for part in parts {
        upload.put_part(part.clone().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
}

async fn delete_all(swift: &Swift, names: Vec<Path>) {
    let names = stream::iter(names).map(Ok).boxed();
    swift.delete_stream(names).try_collect::<Vec<_>>().await.unwrap();
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn storing_and_reading_cost_one_request_and_replacing_two() {
    let (swift, relay) = fixture(V1, "cost").await;
    let four_mib = Bytes::from(vec![7; 4 * MIB]);
    // The first request of a process shows that the server is Swift, which keeps an object that exists.
    swift.put_opts(&location("first"), "x".into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(sent(&relay, &swift), ["HEAD/first", "PUT/first"]);
    swift.delete(&location("first")).await.unwrap();
    relay.take_requests();
    swift.put_opts(&location("a"), four_mib.clone().into(), PutMode::Create.into()).await.unwrap();
    assert_eq!(sent(&relay, &swift), ["PUT/a"]);
    assert_eq!(swift.get(&location("a")).await.unwrap().bytes().await.unwrap(), four_mib);
    swift.get_range(&location("a"), 1..3).await.unwrap();
    swift.head(&location("a")).await.unwrap();
    assert_eq!(sent(&relay, &swift), ["GET/a", "GET/a", "HEAD/a"]);
    swift.put(&location("a"), four_mib.into()).await.unwrap();
    assert_eq!(sent(&relay, &swift), ["HEAD/a", "PUT/a"]);
    // Reads the limits first, since this cluster may allow only shorter listings than usual.
    swift.0.handles.containers.client.info().await.unwrap();
    relay.take_requests();
    assert_eq!(swift.list(None).count().await, 1);
    assert_eq!(sent(&relay, &swift), ["GET"]);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_process_without_a_token_stores_with_three_requests_and_the_next_one_with_one() {
    let (seed, _relay) = fixture(PASSWORD, "cold").await;
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    let swift = again(seed.container(), &settings);
    let storage = swift.0.handles.containers.client.session().await.unwrap().storage_url.to_string();
    keystone.take_requests();
    let relay = Relay::to(&storage).await;
    let mut settings = settings.clone();
    settings.insert("OS_STORAGE_URL".to_owned(), relay.url());
    let state = tempfile::tempdir().unwrap();
    for (name, expected) in [("a", &["HEAD/a", "PUT/a"][..]), ("b", &["PUT/b"])] {
        let directory = state.path().join("tokens");
        let config = Config::from_settings(&settings).unwrap().with_token_cache(&directory);
        let cold = SwiftBuilder::new(seed.container()).with_config(config).build().unwrap();
        cold.put_opts(&location(name), "x".into(), PutMode::Create.into()).await.unwrap();
        assert_eq!(keystone.requests(), 1);
        assert_eq!(sent(&relay, &cold), expected);
    }
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_large_object_costs_three_requests_beside_its_segments_and_reading_it_one_more() {
    let (swift, relay) = fixture(V1, "large-cost").await;
    put_large(&swift, "warm", &[Bytes::from_static(b"makes the container of segments")]).await;
    relay.take_requests();
    let parts = [Bytes::from(vec![1; MIB]), Bytes::from(vec![2; MIB])];
    put_large(&swift, "a", &parts).await;
    assert_eq!(sent(&relay, &swift), ["PUT segments", "PUT segments", "HEAD/a", "PUT/a"]);
    assert_eq!(swift.get(&location("a")).await.unwrap().bytes().await.unwrap(), parts.concat());
    assert_eq!(sent(&relay, &swift), ["GET/a", "GET/a"]);
    swift.delete(&location("a")).await.unwrap();
    assert_eq!(sent(&relay, &swift), ["HEAD/a", "GET/a", "POST in bulk", "DELETE/a"]);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_sweep_costs_two_listings_or_one_after_another_listing_of_the_objects() {
    let (swift, relay) = fixture(V1, "sweep-cost").await;
    put_large(&swift, "a", &[Bytes::from_static(b"one"), Bytes::from_static(b"two")]).await;
    let later = SystemTime::UNIX_EPOCH + Duration::from_hours(1 << 20);
    relay.take_requests();
    assert!(swift.leftovers(later).await.unwrap().is_empty());
    assert_eq!(sent(&relay, &swift), ["GET segments", "GET"]);
    let listed = swift.list(None).try_collect().await.unwrap();
    assert!(swift.leftovers_after_listing(later, listed).await.unwrap().is_empty());
    assert_eq!(sent(&relay, &swift), ["GET", "GET segments"]);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn many_are_deleted_by_one_listing_and_one_deletion_and_large_ones_each_by_three_more() {
    let (swift, relay) = fixture(V1, "many").await;
    let names: Vec<_> = (0..40).map(|number| location(&format!("wal/{number:03}"))).collect();
    put_all(&swift, &names).await;
    swift.put(&location("other"), "x".into()).await.unwrap();
    put_large(&swift, "wal/017", &[Bytes::from_static(b"large")]).await;
    relay.take_requests();
    // One object is missing; it is requested separately.
    delete_all(&swift, [names, vec![location("wal/absent")]].concat()).await;
    let expected =
        ["GET", "HEAD/wal/absent", "POST in bulk", "GET/wal/017", "DELETE segments", "DELETE/wal/017"];
    assert_eq!(sent(&relay, &swift), expected);
    let left: Vec<_> = swift.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    assert_eq!(left, [location("other")]);
    assert!(swift.0.handles.listings.names_under(swift.segments_container(), "").await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_large_object_that_no_listing_shows_as_one_goes_with_its_segments() {
    let (swift, relay) = fixture(V1, "unshown").await;
    put_all(&swift, &["a", "b"].map(location)).await;
    put_large(&swift, "c", &[Bytes::from(vec![1; 9 * MIB]), Bytes::from(vec![2; 9 * MIB])]).await;
    // Makes the listings like those of older clusters.
    relay.hide("slo_etag");
    relay.take_requests();
    delete_all(&swift, ["a", "b", "c"].map(location).to_vec()).await;
    assert!(sent(&relay, &swift).starts_with(&["GET".to_owned(), "HEAD/c".to_owned()]));
    assert!(swift.0.handles.listings.names_under(swift.segments_container(), "").await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn objects_far_from_each_other_are_asked_for_one_by_one() {
    let (swift, relay) = fixture(V1, "scattered").await;
    let names: Vec<_> = (0..400).map(|number| location(&format!("{number:03}"))).collect();
    put_all(&swift, &names).await;
    relay.take_requests();
    let [first, last] = [&names[0], &names[399]].map(Clone::clone);
    delete_all(&swift, vec![first.clone(), last.clone(), location("4")]).await;
    let mut cost = sent(&relay, &swift);
    cost.sort();
    assert_eq!(cost, ["GET", "GET limits", "HEAD/399", "HEAD/4", "POST in bulk"]);
    for name in [first, last] {
        assert!(swift.head(&name).await.is_err());
    }
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn the_container_is_asked_for_once_when_much_is_absent() {
    let (swift, relay) = fixture(V1, "absent").await;
    for name in ["a", "b", "c"] {
        let absent = swift.get(&location(name)).await;
        assert!(matches!(absent, Err(object_store::Error::NotFound { .. })), "{absent:?}");
    }
    assert_eq!(sent(&relay, &swift), ["GET/a", "HEAD", "GET/b", "GET/c"]);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn what_bulk_deletion_cannot_delete_says_why_and_the_others_go() {
    let (swift, relay) = fixture(V1, "refused").await;
    swift.put(&location("a"), "x".into()).await.unwrap();
    relay.take_requests();
    // Swift accepts no NUL in a name.
    let targets = ["a", "b\0", "absent"].map(|name| Target::new(swift.container(), name));
    let results = swift.0.handles.deletion.delete_all(&targets).await;
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].as_ref().unwrap_err().to_string();
    assert!(error.contains("412") && error.contains("DELETE"), "{error}");
    assert_eq!(sent(&relay, &swift), ["GET limits", "POST in bulk", "DELETE/b%00"]);
    assert!(swift.head(&location("a")).await.is_err());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_object_that_is_no_large_one_any_more_is_deleted_all_the_same() {
    let (swift, relay) = fixture(V1, "lagging").await;
    swift.put(&location("a"), "x".into()).await.unwrap();
    relay.take_requests();
    // Acts as if a lagging listing had shown the object.
    swift
        .0
        .object_deletion
        .delete_large(&swift.0.handles.containers.target(&location("a")), &Shape::Static)
        .await
        .unwrap();
    assert_eq!(sent(&relay, &swift), ["GET/a", "HEAD/a", "DELETE/a"]);
    assert!(swift.head(&location("a")).await.is_err());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_cluster_of_short_pages_is_asked_for_its_limits_once() {
    let (swift, relay) = fixture(NARROW, "pages").await;
    let names: Vec<_> = (0..250).map(|number| location(&format!("{number:03}"))).collect();
    put_all(&swift, &names).await;
    relay.take_requests();
    for expected in [&["GET", "GET limits", "GET", "GET", "GET"][..], &["GET", "GET", "GET"]] {
        let listed: Vec<_> = swift.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
        assert_eq!(listed, names);
        assert_eq!(sent(&relay, &swift), expected);
    }
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn without_bulk_deletion_each_is_deleted_by_itself() {
    let (swift, relay) = fixture(NARROW, "singly").await;
    let names = ["a", "b", "c", "d"].map(location);
    put_all(&swift, &names).await;
    relay.take_requests();
    delete_all(&swift, names.to_vec()).await;
    let mut cost = sent(&relay, &swift);
    cost.sort();
    let singly = ["DELETE/a", "DELETE/b", "DELETE/c", "DELETE/d"];
    // The first listing is longer than this cluster allows.
    assert_eq!(cost, [&singly[..], &["GET", "GET", "GET limits"]].concat());
    assert_eq!(swift.list(None).count().await, 0);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_outage_is_waited_for_once_by_many_deletions() {
    let (settings, relay) = before(NARROW).await;
    let second = Duration::from_secs(1);
    let brief = Timeouts { connect: second, silence: second, retry: second };
    let config = Config::from_settings(&settings).unwrap().with_timeouts(brief);
    let swift = SwiftBuilder::new("outage").with_config(config).build().unwrap();
    // The cluster's `/info` says that there is no bulk deletion.
    swift.0.handles.containers.client.info().await.unwrap();
    relay.close();
    let targets: Vec<_> = (0..20).map(|number| Target::new("outage", number.to_string())).collect();
    let errors: Vec<_> =
        swift.0.handles.deletion.delete_all(&targets).await.into_iter().map(Result::unwrap_err).collect();
    let not_tried = |error: &object_store::Error| {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
        matches!(source, Some(StoreError::NotTried { .. }))
    };
    assert_eq!(errors.iter().filter(|error| not_tried(error)).count(), 20 - AT_ONCE, "{errors:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn containers_are_made_with_the_policy_that_is_named_and_segments_go_with_their_objects() {
    let policy = HeaderName::from_static("x-storage-policy");
    let container = format!("test-policy-{}", uuid::Uuid::new_v4().simple());
    let builder = || SwiftBuilder::new(&container).with_settings(settings(V1)).with_create(true);
    builder().with_policy("Policy-1").build().unwrap().put(&location("a"), "x".into()).await.unwrap();
    // Another process, whose cache contains no limits.
    let swift = builder().build().unwrap();
    put_large(&swift, "b", &[Bytes::from_static(b"large")]).await;
    for container in [swift.container(), swift.segments_container()] {
        let head =
            swift.0.handles.containers.client.send(Request::new(Method::HEAD, container)).await.unwrap();
        assert_eq!(head.headers[&policy], "Policy-1", "{container}");
    }
    let unknown = SwiftBuilder::new(format!("{container}-2")).with_settings(settings(V1)).with_create(true);
    let unknown = unknown.with_policy("nobody's").build().unwrap();
    let error = unknown.put(&location("a"), "x".into()).await.unwrap_err();
    let error = crate::hint::text_and_hint(std::error::Error::source(&error).unwrap());
    assert!(error.contains(r"'nobody\'s'") && error.contains("Policy-0, Policy-1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_byte_that_changed_on_the_way_is_an_error_in_plain_and_large_objects() {
    let (swift, relay) = fixture(V1, "changed").await;
    let parts = [Bytes::from(vec![1; MIB]), Bytes::from(vec![2; MIB])];
    swift.put(&location("plain"), parts.concat().into()).await.unwrap();
    put_large(&swift, "large", &parts).await;
    for name in ["plain", "large"] {
        let mut settings = settings(V1);
        settings.insert("OS_STORAGE_URL".to_owned(), relay.url());
        let reader = again(swift.container(), &settings);
        // Damages the last segment, about which Swift itself reports nothing.
        relay.flip(2 * MIB as i64 - 1000);
        let error = reader.get(&location(name)).await.unwrap().bytes().await.unwrap_err();
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
        assert!(matches!(source, Some(StoreError::Damaged { .. })), "{name}: {error:?}");
    }
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_that_ends_in_the_middle_of_an_upload_is_renewed() {
    for account in [V1, PASSWORD] {
        let (swift, _relay) = fixture(account, "expired").await;
        let parts = [Bytes::from(vec![1; MIB]), Bytes::from(vec![2; 8 * MIB])];
        let mut upload = swift.put_multipart(&location("a")).await.unwrap();
        for part in &parts {
            upload.put_part(part.clone().into()).await.unwrap();
            swift.0.handles.containers.client.spoil_token().await;
        }
        upload.complete().await.unwrap();
        assert_eq!(swift.get(&location("a")).await.unwrap().bytes().await.unwrap(), parts.concat());
    }
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_that_is_refused_at_the_manifest_is_renewed() {
    for account in [V1, PASSWORD] {
        let (swift, relay) = fixture(account, "expired-last").await;
        put_large(&swift, "warm", &[Bytes::from_static(b"makes the container of segments")]).await;
        relay.take_requests();
        relay.spoil_token_of("multipart-manifest=put");
        let parts = [Bytes::from(vec![1; MIB]), Bytes::from(vec![2; MIB])];
        put_large(&swift, "a", &parts).await;
        let puts = sent(&relay, &swift).into_iter().filter(|request| request == "PUT/a").count();
        assert_eq!(puts, 2, "refused, and then stored");
        assert_eq!(swift.get(&location("a")).await.unwrap().bytes().await.unwrap(), parts.concat());
    }
}
