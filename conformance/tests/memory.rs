//! Runs the suite on `memory://`.

use std::sync::atomic::{AtomicU32, Ordering};

use swiftwal_conformance::{Harness, StoreContract, conformance_suite};

fn memory() -> Harness {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let fresh = || format!("memory://suite-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Harness::new(swiftwal_backends::registry(), fresh)
        .with_contract(StoreContract { conditional_update: true, conditional_copy: true })
}

conformance_suite!(memory());
