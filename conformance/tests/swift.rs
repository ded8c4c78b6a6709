//! Runs the suite on `swift://` twice, to cover both authentication methods and both kinds of URLs.

mod account;

/// Authenticated by a Swift with low limits; each repository is a container.
mod containers {
    use super::account::{V1, containers, sampled};

    swiftwal_conformance::conformance_suite!(
        sampled(containers("SWIFT_TEST_NARROW_", &V1), 1).with_listing_page(100),
        #[ignore = "needs Swift: run by cargo xtask test"]
    );
}

/// Authenticated by Keystone; all repositories are in one container, which has one container of segments.
mod prefixes {
    use super::account::{PASSWORD, prefixes};

    swiftwal_conformance::conformance_suite!(
        prefixes("SWIFT_TEST_", &PASSWORD).with_listing_page(1000),
        #[ignore = "needs Swift: run by cargo xtask test"]
    );
}
