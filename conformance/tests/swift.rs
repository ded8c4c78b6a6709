//! Runs the suite on `swift://` twice, to cover both authentication methods and both kinds of URLs.

mod account;

use swiftwal_conformance::{Harness, conformance_suite};

/// Authenticated by a Swift with low limits; each repository is a container.
mod containers {
    use super::*;

    fn containers() -> Harness {
        let account = account::account("SWIFT_TEST_NARROW_", &["ST_AUTH", "ST_USER", "ST_KEY"]);
        account::containers(account).with_listing_page(100)
    }

    conformance_suite!(containers(), #[ignore = "needs Swift: run by cargo xtask test"]);
}

/// Authenticated by Keystone; all repositories are in one container, which has one container of segments.
mod prefixes {
    use super::*;

    fn prefixes() -> Harness {
        let names = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"];
        account::prefixes(account::account("SWIFT_TEST_", &names)).with_listing_page(1000)
    }

    conformance_suite!(prefixes(), #[ignore = "needs Swift: run by cargo xtask test"]);
}
