//! Signed URLs: what they allow, on Swift and on Ceph's radosgw.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::Method;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use object_store_swift::Swift;
use url::Url;

use super::{
    account::{CEPH, V1, container, settings},
    http::{send, set_key},
};

/// The key of the accounts. All tests set the same one, since they share the account.
pub(crate) const KEY: &str = "key of the account";

const HOUR: Duration = Duration::from_hours(1);

/// A new container, whose store signs with this key.
async fn fixture(account: &[&str], key: &str) -> Swift {
    let name = format!("test-signing-{}", uuid::Uuid::new_v4().simple());
    let swift = container(account, &name).with_create(true).with_temp_url_key(key).build().unwrap();
    assert_eq!(swift.list(None).count().await, 0);
    swift
}

async fn url(swift: &Swift, method: Method, name: &str) -> Url {
    swift.signed_url(method, &Path::from(name), HOUR).await.unwrap()
}

async fn put_large(swift: &Swift, name: &str) {
    let mut upload = swift.put_multipart(&Path::from(name)).await.unwrap();
    for part in ["one", "two"] {
        upload.put_part(Bytes::from_static(part.as_bytes()).into()).await.unwrap();
    }
    upload.complete().await.unwrap();
}

async fn remove(swift: Swift) {
    let names = swift.list(None).map_ok(|meta| meta.location).boxed();
    swift.delete_stream(names).try_for_each(|_| async { Ok(()) }).await.unwrap();
}

/// Uses URLs for every method, and ones that mustn't work.
async fn allows_what_was_signed(account: &[&str]) {
    set_key(&settings(account), None, KEY);
    let (swift, name) = (fixture(account, KEY).await, "dir/ä b%&+.txt");
    let put = url(&swift, Method::PUT, name).await;
    assert_eq!(send("PUT", &put, &[], "Hello").status, 201);
    assert_eq!(swift.get(&Path::from(name)).await.unwrap().bytes().await.unwrap(), "Hello");
    let get = url(&swift, Method::GET, name).await;
    assert_eq!(send("GET", &get, &[], "").body, b"Hello");
    assert_eq!(send("HEAD", &get, &[], "").status, 200);

    let is_refused = |method: &str, url: &Url| matches!(send(method, url, &[], "").status, 401 | 403);
    assert!(is_refused("DELETE", &get));
    let mut other = get.clone();
    other.set_path(&format!("{}2", get.path()));
    assert!(is_refused("GET", &other));
    let late = get.as_str().replace("temp_url_expires=", "temp_url_expires=1").parse().unwrap();
    assert!(is_refused("GET", &late));
    assert!(is_refused(
        "GET",
        &swift.signed_url(Method::GET, &Path::from(name), Duration::ZERO).await.unwrap()
    ));

    let delete = url(&swift, Method::DELETE, name).await;
    assert_eq!(send("DELETE", &delete, &[], "").status, 204);
    assert_eq!(swift.list(None).count().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_signed_url_allows_one_method_on_one_object() {
    allows_what_was_signed(V1).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Ceph: run by cargo xtask test"]
async fn on_radosgw_too() {
    allows_what_was_signed(CEPH).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift and Ceph: run by cargo xtask test"]
async fn a_large_object_is_read_whole_with_the_account_s_key() {
    for account in [V1, CEPH] {
        set_key(&settings(account), None, KEY);
        let swift = fixture(account, KEY).await;
        put_large(&swift, "large").await;
        let get = url(&swift, Method::GET, "large").await;
        assert_eq!(send("GET", &get, &[], "").body, b"onetwo");
        remove(swift).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn the_container_s_key_opens_plain_objects_only() {
    let swift = fixture(V1, "key of the container").await;
    set_key(&settings(V1), Some(swift.container()), "key of the container");
    swift.put(&Path::from("plain"), "Hello".into()).await.unwrap();
    put_large(&swift, "large").await;
    let get = url(&swift, Method::GET, "plain").await;
    assert_eq!(send("GET", &get, &[], "").body, b"Hello");
    let get = url(&swift, Method::GET, "large").await;
    assert_ne!(send("GET", &get, &[], "").status, 200);
    remove(swift).await;
}
