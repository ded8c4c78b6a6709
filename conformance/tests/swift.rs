//! The suite on `swift://`: twice, so that both ways to authenticate and both kinds of places are in it.
//!
//! Where the servers are comes from the environment: each setting of the account, with `SWIFT_TEST_` before its name.
//! Containers stay behind, as the servers are there for tests alone.

use std::{collections::BTreeMap, sync::LazyLock};

use swiftwal_conformance::{Harness, conformance_suite};
use uuid::Uuid;

/// Swift doesn't let segments below this be read, save the first ten, faster than one a second.
const PART_BYTES: usize = 1 << 20;

fn swift(settings: &[&str], fresh: impl Fn() -> String + Send + Sync + 'static) -> Harness {
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_settings(account(settings))
        .with_smallest_part_bytes(PART_BYTES)
}

/// These settings of the test servers.
#[expect(clippy::disallowed_methods, reason = "a test has no caller that could pass it")]
fn account(settings: &[&str]) -> BTreeMap<String, String> {
    let value =
        |name: &str| std::env::var(format!("SWIFT_TEST_{name}")).unwrap_or_else(|_| panic!("{name}?"));
    settings.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

fn unique() -> String {
    format!("suite-{}", Uuid::new_v4().simple())
}

/// Authenticated by Swift itself; each repository is a container.
mod containers {
    use super::*;

    fn containers() -> Harness {
        swift(&["ST_AUTH", "ST_USER", "ST_KEY"], || format!("swift://{}", unique()))
    }

    conformance_suite!(containers(), #[ignore = "needs Swift: run by cargo xtask test"]);
}

/// Authenticated by Keystone; all repositories lie in one container, which has one container of segments.
mod prefixes {
    use super::*;

    fn prefixes() -> Harness {
        static CONTAINER: LazyLock<String> = LazyLock::new(unique);
        let settings = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];
        swift(&settings, || format!("swift://{}/{}", *CONTAINER, unique()))
    }

    conformance_suite!(prefixes(), #[ignore = "needs Swift: run by cargo xtask test"]);
}
