//! Runs the suite on `swift://` twice, to cover both authentication methods and both kinds of URLs.
//!
//! The environment names the servers: each setting of the account, with the prefix `SWIFT_TEST_`, or
//! `SWIFT_TEST_NARROW_` for the Swift with low limits. The containers aren't removed, as the servers exist only for the
//! tests.

use std::{collections::BTreeMap, sync::LazyLock};

use swiftwal_conformance::{Harness, conformance_suite};
use uuid::Uuid;

/// Below this size, and after the first ten, Swift lets only one segment a second be read.
const PART_BYTES: usize = 1 << 20;

fn swift(settings: BTreeMap<String, String>, fresh: impl Fn() -> String + Send + Sync + 'static) -> Harness {
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_settings(settings)
        .with_smallest_part_bytes(PART_BYTES)
}

/// Reads these settings of the test servers, whose names in the environment begin with `prefix`.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
fn account(prefix: &str, settings: &[&str]) -> BTreeMap<String, String> {
    let value = |name: &str| std::env::var(format!("{prefix}{name}")).unwrap_or_else(|_| panic!("{name}?"));
    settings.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

fn unique() -> String {
    format!("suite-{}", Uuid::new_v4().simple())
}

/// Authenticated by a Swift with low limits; each repository is a container.
mod containers {
    use super::*;

    fn containers() -> Harness {
        let settings = account("SWIFT_TEST_NARROW_", &["ST_AUTH", "ST_USER", "ST_KEY"]);
        swift(settings, || format!("swift://{}", unique())).with_listing_page(100)
    }

    conformance_suite!(containers(), #[ignore = "needs Swift: run by cargo xtask test"]);
}

/// Authenticated by Keystone; all repositories are in one container, which has one container of segments.
mod prefixes {
    use super::*;

    fn prefixes() -> Harness {
        static CONTAINER: LazyLock<String> = LazyLock::new(unique);
        let names = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];
        let settings = account("SWIFT_TEST_", &names);
        swift(settings, || format!("swift://{}/{}", *CONTAINER, unique())).with_listing_page(1000)
    }

    conformance_suite!(prefixes(), #[ignore = "needs Swift: run by cargo xtask test"]);
}
