//! Runs the suite on `file://`.

use std::sync::atomic::{AtomicU32, Ordering};

use swiftwal_conformance::{Harness, StoreContract, conformance_suite};
use tempfile::TempDir;

fn file() -> Harness {
    let directory = TempDir::new().unwrap_or_else(|error| panic!("no place for repositories: {error}"));
    let next = AtomicU32::new(0);
    let fresh = move || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        format!("file://{}/repository-{number}", directory.path().display())
    };
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_contract(StoreContract { conditional_update: false, conditional_copy: true })
}

conformance_suite!(file());
