//! A complete backend: storage in the memory of a program, under `attic://name`.
//!
//! `cargo run --example third_party` runs the whole suite against it. `cargo test --example third_party` does the same
//! with a test for each scenario, as a backend's own crate would.

use std::{
    collections::BTreeMap,
    error::Error,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use object_store::memory::InMemory;
use swiftwal_conformance::{Harness, StoreContract, run, scenarios};
use swiftwal_core::{Backend, OpenError, Options, Registry, Storage};
use url::Url;

/// Stores repositories by name, for its own lifetime.
#[derive(Debug, Default)]
struct Attic {
    stores: Mutex<BTreeMap<String, Arc<InMemory>>>,
}

impl Backend for Attic {
    fn schemes(&self) -> &'static [&'static str] {
        &["attic"]
    }

    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError> {
        let Some(name) = location.host_str() else {
            return Err(OpenError::invalid_location(location, "give it a name, as in attic://name"));
        };
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        if !options.create && !stores.contains_key(name) {
            let error = OpenError::unavailable(location, "nothing was ever stored there", None);
            return Err(error.with_hint("check the name"));
        }
        let store = stores.entry(name.to_owned()).or_default();
        Ok(Storage::new(Arc::<InMemory>::clone(store)))
    }
}

fn attic() -> Harness {
    let next = AtomicU32::new(0);
    let fresh = move || format!("attic://box-{}", next.fetch_add(1, Ordering::Relaxed));
    Harness::new(Registry::new().with(Attic::default()), fresh)
        .with_contract(StoreContract { conditional_update: true, conditional_copy: true })
}

fn main() -> Result<(), Box<dyn Error>> {
    for scenario in scenarios() {
        println!("{}", scenario.name);
        run(&attic(), scenario.name)?;
    }
    Ok(())
}

#[cfg(test)]
swiftwal_conformance::conformance_suite!(attic());
