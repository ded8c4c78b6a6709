//! Describes the backend under test to the suite.

use std::{collections::BTreeMap, fmt, sync::Arc};

use anyhow::{Context, Result};
use swiftwal_core::{Limits, OpenError, Options, Registry, Storage};
use url::Url;

use crate::random::Random;

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
    sample: Option<u64>,
}

/// How many cases there are for each that a sample takes.
const CASES_PER_SAMPLE: usize = 5;

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
            sample: None,
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

    /// Makes the longest scenarios, which interrupt each command at each kind of call, try only a sample of these cases:
    /// the first, the last, and one in five of the others. `seed` chooses them, so that harnesses may try different
    /// ones. The default is to try every case.
    #[must_use]
    pub fn with_sampled_cases(self, seed: u64) -> Self {
        Self { sample: Some(seed), ..self }
    }

    /// Returns the cases that a scenario tries, in order: all, or a [sample](Self::with_sampled_cases).
    pub(crate) fn cases<T>(&self, all: impl IntoIterator<Item = T>) -> Vec<T> {
        let mut cases: Vec<T> = all.into_iter().collect();
        let Some(seed) = self.sample else { return cases };
        let mut dice = Random::new(seed, 0);
        let (mut position, last, mut chosen) = (0, cases.len().saturating_sub(1), 0);
        cases.retain(|_| {
            let within = position % CASES_PER_SAMPLE;
            if within == 0 {
                chosen = dice.up_to(CASES_PER_SAMPLE) - 1;
            }
            let is_taken = within == chosen || position == 0 || position == last;
            position += 1;
            is_taken
        });
        cases
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
            .field("sample", &self.sample)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_has_the_first_case_the_last_and_one_of_each_five() {
        let harness = Harness::new(Registry::new(), String::new);
        assert_eq!(harness.cases(0..33), (0..33).collect::<Vec<_>>());
        let sample = |seed, count: usize| harness.clone().with_sampled_cases(seed).cases(0..count);
        for seed in 0..50 {
            let cases = sample(seed, 33);
            assert!(cases.starts_with(&[0]) && cases.ends_with(&[32]), "{cases:?}");
            assert!((0..6).all(|five| cases.iter().any(|case| case / 5 == five)), "{cases:?}");
            assert!(cases.len() <= 9, "{cases:?}");
        }
        assert_eq!((sample(1, 0), sample(1, 1), sample(1, 2)), (vec![], vec![0], vec![0, 1]));
        let tried: std::collections::BTreeSet<_> = (0..50).flat_map(|seed| sample(seed, 33)).collect();
        assert_eq!(tried.len(), 33, "some case is never tried");
    }
}
