//! Harnesses for the accounts of the test servers.
//!
//! The environment names the servers: each setting of an account, with a prefix that begins with `SWIFT_TEST_`. The
//! containers aren't removed, as the servers exist only for the tests.

use std::{collections::BTreeMap, sync::OnceLock};

use swiftwal_conformance::Harness;
use uuid::Uuid;

/// Below this size, and after the first ten, Swift lets only one segment a second be read.
const PART_BYTES: usize = 1 << 20;

/// The settings of an account with version 1 authentication.
pub(crate) const V1: [&str; 3] = ["ST_AUTH", "ST_USER", "ST_KEY"];
/// The settings of an account of Keystone.
pub(crate) const PASSWORD: [&str; 4] = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];

/// A harness whose repositories are containers of the account with these settings, whose names in the environment begin
/// with `prefix`.
pub(crate) fn containers(prefix: &str, settings: &[&str]) -> Harness {
    harness(account(prefix, settings), || format!("swift://{}", unique()))
}

/// As [`containers`], with all repositories in one container, which has one container of segments.
pub(crate) fn prefixes(prefix: &str, settings: &[&str]) -> Harness {
    static CONTAINER: OnceLock<String> = OnceLock::new();
    let fresh = || format!("swift://{}/{}", CONTAINER.get_or_init(unique), unique());
    harness(account(prefix, settings), fresh)
}

/// Makes the longest scenarios try only the cases that `seed` chooses, unless the environment has
/// `SWIFT_TEST_ALL_CASES`, as with `cargo xtask test --long`. The suite tries every case in memory and on files.
pub(crate) fn sampled(harness: Harness, seed: u64) -> Harness {
    if variable("SWIFT_TEST_ALL_CASES").is_some() { harness } else { harness.with_sampled_cases(seed) }
}

fn account(prefix: &str, settings: &[&str]) -> BTreeMap<String, String> {
    let value = |name: &str| variable(&format!("{prefix}{name}")).unwrap_or_else(|| panic!("{name}?"));
    settings.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn harness(account: BTreeMap<String, String>, fresh: impl Fn() -> String + Send + Sync + 'static) -> Harness {
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_settings(account)
        .with_smallest_part_bytes(PART_BYTES)
}

fn unique() -> String {
    format!("suite-{}", Uuid::new_v4().simple())
}
