//! Describes the backend under test to the suite.

use std::{collections::BTreeMap, fmt, sync::Arc};

use anyhow::{Context, Result};
use swiftwal_core::{Limits, OpenError, Options, Registry, Storage};
use url::Url;

/// The largest WAL file in one put: a segment of the suite's usual size.
const PUT_BYTES: u64 = 1 << 20;

/// The backend under test, and its properties that the suite must know.
#[derive(Clone)]
pub struct Harness {
    registry: Registry,
    fresh: Arc<dyn Fn() -> String + Send + Sync>,
    options: Options,
    part_bytes: usize,
    listing_page: u64,
    contract: StoreContract,
    racing_creates: bool,
}

/// Optional abilities of the store, which the flows don't need but which `object_store`'s own tests distinguish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreContract {
    /// On request, it replaces an object only if it is still the one that was read.
    pub conditional_update: bool,
    /// On request, it copies an object only to a name that isn't taken.
    pub conditional_copy: bool,
}

impl Harness {
    /// Creates a harness for the backend in `registry` that handles the URLs of `fresh`.
    ///
    /// Each call of `fresh` must return the URL of another repository that doesn't exist yet. Opening it with
    /// [`Options::create`] must create it.
    #[must_use]
    pub fn new(registry: Registry, fresh: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self {
            registry,
            fresh: Arc::new(fresh),
            options: Options::default(),
            part_bytes: 64 << 10,
            listing_page: 10_000,
            contract: StoreContract::default(),
            racing_creates: false,
        }
    }

    /// Sets the backend's settings.
    #[must_use]
    pub fn with_settings(mut self, settings: BTreeMap<String, String>) -> Self {
        self.options.settings = settings;
        self
    }

    /// Sets the least size of an upload's parts, except the last one; the default is 64 KiB. The suite uses the least
    /// size: its uploads must have several parts, and yet be fast.
    #[must_use]
    pub fn with_smallest_part_bytes(self, part_bytes: usize) -> Self {
        Self { part_bytes, ..self }
    }

    /// Sets how many names the service lists in one request; the default is 10,000, the maximum of any service. The
    /// suite stores more than that, each in a request.
    #[must_use]
    pub fn with_listing_page(self, names: u64) -> Self {
        Self { listing_page: names, ..self }
    }

    /// Sets the optional abilities of the store; the default is none.
    #[must_use]
    pub fn with_contract(self, contract: StoreContract) -> Self {
        Self { contract, ..self }
    }

    /// Says that the service itself doesn't refuse to overwrite: of two callers that create one name at the same moment,
    /// both may succeed, and one finds out afterwards. Of simultaneous backups, the suite then accepts one that was
    /// abandoned.
    #[must_use]
    pub fn with_racing_creates(self) -> Self {
        Self { racing_creates: true, ..self }
    }

    pub(crate) fn racing_creates(&self) -> bool {
        self.racing_creates
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

    /// Opens the storage as a program does, anew each time.
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
            .field("racing_creates", &self.racing_creates)
            .finish_non_exhaustive()
    }
}
