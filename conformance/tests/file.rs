//! The suite on `file://`.

use std::sync::atomic::{AtomicU32, Ordering};

use swiftwal_conformance::{Harness, StoreContract, conformance_suite};
use url::Url;

fn file() -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let next = AtomicU32::new(0);
    let fresh = move || {
        let name = format!("repository-{}", next.fetch_add(1, Ordering::Relaxed));
        Url::from_directory_path(directory.path().join(name)).unwrap()
    };
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_contract(StoreContract { conditional_update: false, conditional_copy: true })
}

conformance_suite!(file());
