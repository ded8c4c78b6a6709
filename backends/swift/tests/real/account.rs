//! The containers of the tests.
//!
//! The environment names the servers: each setting of the account, with the prefix `SWIFT_TEST_`.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store_swift::{Swift, SwiftBuilder};

/// The settings of a version 1 account.
pub(crate) const V1: &[&str] = &["ST_AUTH", "ST_USER", "ST_KEY"];
/// The settings of a version 1 account on a Swift with low limits.
pub(crate) const NARROW: &[&str] = &["NARROW_ST_AUTH", "NARROW_ST_USER", "NARROW_ST_KEY"];
/// The settings of an account in Keystone.
pub(crate) const KEYSTONE: &[&str] = &["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];

/// The settings of a user of Ceph's gateway.
pub(crate) const CEPH: &[&str] = &["CEPH_ST_AUTH", "CEPH_ST_USER", "CEPH_ST_KEY"];

/// A container that no other test uses, and the container of its segments.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) swift: Swift,
    /// The container of the segments, as a store.
    pub(crate) segments: Swift,
}

impl Fixture {
    pub(crate) async fn new(account: &[&str], name: &str) -> Self {
        let name = format!("test-{name}-{}", uuid::Uuid::new_v4().simple());
        let swift = container(account, &name).with_create(true).build().unwrap();
        // The first request creates the container.
        assert_eq!(swift.list(None).count().await, 0);
        let segments = container(account, swift.segments_container()).with_create(true).build().unwrap();
        Self { swift, segments }
    }

    /// Empties both containers.
    pub(crate) async fn remove(self) {
        for store in [self.swift, self.segments] {
            let names = store.list(None).map_ok(|meta| meta.location).boxed();
            store.delete_stream(names).try_for_each(|_| async { Ok(()) }).await.unwrap();
        }
    }
}

/// Opens a container of that account.
pub(crate) fn container(account: &[&str], name: &str) -> SwiftBuilder {
    SwiftBuilder::new(name).with_settings(settings(account))
}

/// Reads the settings of that account from the environment.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
pub(crate) fn settings(account: &[&str]) -> BTreeMap<String, String> {
    let value =
        |name: &str| std::env::var(format!("SWIFT_TEST_{name}")).unwrap_or_else(|_| panic!("{name}?"));
    let own_name = |name: &str| name.trim_start_matches("NARROW_").trim_start_matches("CEPH_").to_owned();
    account.iter().map(|name| (own_name(name), value(name))).collect()
}
