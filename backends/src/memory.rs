//! The backend `memory://`, for tests.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use object_store::memory::InMemory;
use swiftwal_core::{Backend, OpenError, Options, Storage};
use url::Url;

/// Every repository in memory, by name. Opening the same name twice gives the same objects.
static STORES: Mutex<BTreeMap<String, Arc<InMemory>>> = Mutex::new(BTreeMap::new());

/// Storage in the memory of this process, `memory://name`, for tests and experiments.
///
/// Opening the same name twice gives the same storage, which exists even without [`Options::create`]. Its content is
/// lost when the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Memory;

impl Backend for Memory {
    fn schemes(&self) -> &'static [&'static str] {
        &["memory"]
    }

    fn open(&self, location: &Url, _options: &Options) -> Result<Storage, OpenError> {
        let name = format!("{}{}", location.host_str().unwrap_or_default(), location.path());
        let name = name.trim_matches('/');
        if name.is_empty() || location.query().is_some() || location.fragment().is_some() {
            return Err(OpenError::invalid_location(
                location,
                "give it a name and nothing else, as in memory://name",
            ));
        }
        Ok(Storage::new(store(name)).with_ordered_listings().volatile())
    }
}

fn store(name: &str) -> Arc<InMemory> {
    // A panic elsewhere leaves the map valid.
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(stores.entry(name.to_owned()).or_default())
}
