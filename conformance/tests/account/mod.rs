//! Harnesses for the accounts of the test servers.
//!
//! The environment names the servers: each setting of an account, with a prefix that begins with `SWIFT_TEST_`. The
//! containers aren't removed, as the servers exist only for the tests.

use std::{collections::BTreeMap, sync::OnceLock};

use swiftwal_conformance::Harness;
use uuid::Uuid;

/// Below this size, and after the first ten, Swift lets only one segment a second be read.
const PART_BYTES: usize = 1 << 20;

/// Reads these settings of the test servers, whose names in the environment begin with `prefix`.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
pub(crate) fn account(prefix: &str, settings: &[&str]) -> BTreeMap<String, String> {
    let value = |name: &str| std::env::var(format!("{prefix}{name}")).unwrap_or_else(|_| panic!("{name}?"));
    settings.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

/// A harness whose repositories are containers of the account.
pub(crate) fn containers(account: BTreeMap<String, String>) -> Harness {
    harness(account, || format!("swift://{}", unique()))
}

/// A harness whose repositories are all in one container of the account, which has one container of segments.
pub(crate) fn prefixes(account: BTreeMap<String, String>) -> Harness {
    static CONTAINER: OnceLock<String> = OnceLock::new();
    harness(account, || format!("swift://{}/{}", CONTAINER.get_or_init(unique), unique()))
}

fn harness(account: BTreeMap<String, String>, fresh: impl Fn() -> String + Send + Sync + 'static) -> Harness {
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_settings(account)
        .with_smallest_part_bytes(PART_BYTES)
}

fn unique() -> String {
    format!("suite-{}", Uuid::new_v4().simple())
}
