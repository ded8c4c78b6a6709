//! The fuzzing targets of `object_store_swift`. That crate's own tests must run without this repository.

use object_store_swift::fuzz;
use swiftwal_mutation::check;

#[test]
fn a_catalog_is_read_or_refused() {
    check("catalog", fuzz::catalog);
}

#[test]
fn a_clouds_yaml_is_read_or_refused() {
    check("clouds", fuzz::clouds);
}

#[test]
fn a_listing_is_read_or_refused() {
    check("listing", fuzz::listing);
}
