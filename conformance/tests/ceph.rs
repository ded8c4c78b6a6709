//! Runs the suite on `swift://` of Ceph's gateway, `radosgw`; twice with `cargo xtask test --long`, to cover both
//! authentication methods and both kinds of URLs.

mod account;

use swiftwal_conformance::{Harness, conformance_suite};

/// Authenticated by the gateway; each repository is a container.
mod containers {
    use super::*;

    fn containers() -> Harness {
        let account = account::account("SWIFT_TEST_CEPH_", &["ST_AUTH", "ST_USER", "ST_KEY"]);
        account::containers(account).with_listing_page(1000).with_racing_creates()
    }

    conformance_suite!(containers(), #[ignore = "needs Ceph: run by cargo xtask test"]);
}

mod long {
    use super::*;

    /// Authenticated by Keystone, whose catalog doesn't know the gateway; all repositories are in one container, which
    /// has one container of segments.
    mod prefixes {
        use super::*;

        fn prefixes() -> Harness {
            let names = ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME", "OS_STORAGE_URL"];
            let account = account::account("SWIFT_TEST_CEPH_", &names);
            account::prefixes(account).with_listing_page(1000).with_racing_creates()
        }

        conformance_suite!(prefixes(), #[ignore = "needs Ceph: run by cargo xtask test --long"]);
    }
}
