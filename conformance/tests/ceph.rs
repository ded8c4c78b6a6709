//! Runs the suite on `swift://` of Ceph's gateway, `radosgw`; twice with `cargo xtask test --long`, to cover both
//! authentication methods and both kinds of URLs.

mod account;

/// Authenticated by the gateway; each repository is a container.
mod containers {
    use super::account::{V1, containers, sampled};

    swiftwal_conformance::conformance_suite!(
        sampled(containers("SWIFT_TEST_CEPH_", &V1), 2).with_listing_page(1000).with_racing_creates(),
        #[ignore = "needs Ceph: run by cargo xtask test"]
    );
}

mod long {
    /// Authenticated by Keystone, whose catalog doesn't know the gateway; all repositories are in one container, which
    /// has one container of segments.
    mod prefixes {
        use crate::account::{PASSWORD, prefixes};

        swiftwal_conformance::conformance_suite!(
            prefixes("SWIFT_TEST_CEPH_", &[&PASSWORD[..], &["OS_STORAGE_URL"]].concat())
                .with_listing_page(1000)
                .with_racing_creates(),
            #[ignore = "needs Ceph: run by cargo xtask test --long"]
        );
    }
}
