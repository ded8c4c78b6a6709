use std::{collections::BTreeMap, fmt, sync::Arc};

use anyhow::{Context, Result};
use swiftwal_core::{Limits, OpenError, Options, Registry, Storage};
use url::Url;

/// The largest WAL file in one put: a segment of the suite's usual size.
const PUT_BYTES: u64 = 1 << 20;

/// What the suite has to know of the backend that it runs against.
#[derive(Clone)]
pub struct Harness {
    registry: Registry,
    fresh: Arc<dyn Fn() -> String + Send + Sync>,
    options: Options,
    part_bytes: usize,
    listing_page: u64,
    contract: StoreContract,
}

/// What the store beneath can do beyond what the flows need; `object_store`'s own tests want to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreContract {
    /// It replaces an object only if it is still the one that was read, where that is asked for.
    pub conditional_update: bool,
    /// It copies an object only to a name that isn't taken, where that is asked for.
    pub conditional_copy: bool,
}

impl Harness {
    /// The backend that `registry` has for the URLs of `fresh`.
    ///
    /// Each call of `fresh` gives the URL of another repository, one that doesn't exist yet and that the backend makes
    /// when it is opened with [`Options::create`].
    #[must_use]
    pub fn new(registry: Registry, fresh: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            registry,
            fresh: Arc::new(fresh),
            options: Options::default(),
            part_bytes: 64 << 10,
            listing_page: 10_000,
            contract: StoreContract::default(),
        }
    }

    /// Gives the backend its settings.
    #[must_use]
    pub fn with_settings(mut self, settings: BTreeMap<String, String>) -> Self {
        self.options.settings = settings;
        self
    }

    /// Says how large the parts of an upload must be at least, the last one excepted; otherwise 64 KiB will do. The
    /// suite uses the smallest: its uploads shall have several parts, and yet be quick.
    #[must_use]
    pub fn with_smallest_part_bytes(self, part_bytes: usize) -> Self {
        Self { part_bytes, ..self }
    }

    /// Says how many names the service lists by one request; otherwise 10,000, which is as many as any does. The suite
    /// stores more than that, each by a request.
    #[must_use]
    pub fn with_listing_page(self, names: u64) -> Self {
        Self { listing_page: names, ..self }
    }

    /// Says what the store can do beyond what the flows need; otherwise nothing.
    #[must_use]
    pub fn with_contract(self, contract: StoreContract) -> Self {
        Self { contract, ..self }
    }

    pub(crate) fn fresh(&self) -> Result<Url> {
        let url = (self.fresh)();
        url.parse().with_context(|| format!("the harness gave {url:?} for a URL"))
    }

    pub(crate) fn contract(&self) -> StoreContract {
        self.contract
    }

    pub(crate) fn listing_page(&self) -> u64 {
        self.listing_page
    }

    /// Opens the storage as a program does, once more each time.
    pub(crate) fn open(&self, location: &Url, create: bool) -> Result<Storage, OpenError> {
        let storage = self.registry.open(location, &Options { create, ..self.options.clone() })?;
        let limits = Limits { part_bytes: self.part_bytes, put_bytes: PUT_BYTES, ..storage.limits() };
        Ok(storage.with_limits(limits))
    }
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("registry", &self.registry)
            .field("options", &self.options)
            .field("part_bytes", &self.part_bytes)
            .field("listing_page", &self.listing_page)
            .field("contract", &self.contract)
            .finish_non_exhaustive()
    }
}
