//! The number of requests of each operation on Swift and on radosgw, as the table in the README states them.

use std::fmt::Debug;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, Result, path::Path};

use crate::{
    Swift, SwiftBuilder,
    client::live::{CEPH, V1, before, relay::Relay},
};

/// Counts the requests of operations.
struct Costs {
    relay: Relay,
    rows: Vec<(&'static str, usize)>,
}

impl Costs {
    async fn of<T: Debug>(&mut self, name: &'static str, operation: impl Future<Output = Result<T>>) {
        self.relay.take_requests();
        operation.await.unwrap();
        self.rows.push((name, self.relay.take_requests().len()));
    }
}

/// Opens a store that has used every kind of request, so that it knows the server.
async fn fixture(account: &[&str]) -> (Swift, Costs) {
    let (settings, relay) = before(account).await;
    let name = format!("test-costs-{}", uuid::Uuid::new_v4().simple());
    let swift = SwiftBuilder::new(name).with_settings(settings).with_create(true).build().unwrap();
    create(&swift, "plain").await.unwrap();
    complete(swift.put_multipart(&Path::from("large")).await.unwrap()).await.unwrap();
    read(&swift, "large").await.unwrap();
    swift.0.handles.containers.client.info().await.unwrap();
    (swift, Costs { relay, rows: Vec::new() })
}

async fn create(swift: &Swift, name: &str) -> Result<()> {
    swift.put_opts(&Path::from(name), "x".into(), PutMode::Create.into()).await.map(drop)
}

async fn complete(mut upload: Box<dyn MultipartUpload>) -> Result<()> {
    for part in ["one", "two"] {
        upload.put_part(Bytes::from_static(part.as_bytes()).into()).await?;
    }
    upload.complete().await.map(drop)
}

async fn read(swift: &Swift, name: &str) -> Result<Bytes> {
    swift.get(&Path::from(name)).await?.bytes().await
}

async fn delete(swift: &Swift, names: &[&str]) -> Result<Vec<Path>> {
    let names: Vec<_> = names.iter().map(|name| Ok(Path::from(*name))).collect();
    swift.delete_stream(stream::iter(names).boxed()).try_collect().await
}

/// Returns what each operation costs.
async fn costs(account: &[&str]) -> Vec<(&'static str, usize)> {
    let (swift, mut costs) = fixture(account).await;
    let [plain, large, copy] = ["plain", "large", "copy"].map(Path::from);
    costs.of("put, `PutMode::Create`", create(&swift, "created")).await;
    costs.of("put, `PutMode::Overwrite`", swift.put(&plain, "x".into())).await;
    costs
        .of("multipart upload of two parts", async {
            complete(swift.put_multipart(&Path::from("a")).await?).await
        })
        .await;
    costs.of("`create_in_parts` of two parts", complete(swift.create_in_parts(&Path::from("b")))).await;
    costs.of("get, ranged get, head of a plain object", read(&swift, "plain")).await;
    costs.of("get of a large object", read(&swift, "large")).await;
    costs.of("ranged get, head of a large object", swift.get_range(&large, 1..4)).await;
    costs.of("copy of a plain object", swift.copy(&plain, &copy)).await;
    costs.of("copy of a large object of two parts", swift.copy(&large, &Path::from("c"))).await;
    costs.of("put that replaces a large object of two parts", swift.put(&Path::from("a"), "x".into())).await;
    costs.of("delete of a plain object", swift.delete(&copy)).await;
    costs.of("delete of a large object of two parts", swift.delete(&Path::from("c"))).await;
    costs.of("list of few plain objects and two large ones", swift.list(None).try_collect::<Vec<_>>()).await;
    for number in 0..10 {
        create(&swift, &format!("wal/{number}")).await.unwrap();
    }
    costs.of("list of ten plain objects", swift.list(Some(&Path::from("wal"))).try_collect::<Vec<_>>()).await;
    let ten: Vec<_> = (0..10).map(|number| format!("wal/{number}")).collect();
    let ten: Vec<_> = ten.iter().map(String::as_str).collect();
    costs.of("delete of ten plain objects together", delete(&swift, &ten)).await;
    delete(&swift, &["plain", "large", "created", "a", "b"]).await.unwrap();
    costs.rows
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Swift and Ceph: run by cargo xtask test"]
async fn each_operation_costs_what_the_readme_says() {
    let readme = include_str!("../../README.md");
    let rows = costs(V1).await.into_iter().zip(costs(CEPH).await);
    let rows = rows.map(|((name, swift), (_, radosgw))| format!("| {name} | {swift} | {radosgw} |"));
    let missing: Vec<_> = rows.filter(|row| !readme.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}
