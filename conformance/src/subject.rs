//! The subject of a scenario: its repository, clocks and directory.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use object_store::{DynObjectStore, ObjectStoreExt, path::Path};
use swiftwal_core::{LearnLimits, Limits, OpenError, Prepare, Repository, StateDir, Storage, StorageSpace};
use tempfile::TempDir;
use url::Url;

use crate::{
    Harness, ManualClock,
    clock::MachineClock,
    faulty::{Dates, Faults, faulty},
};

/// The subject of a scenario: a repository that doesn't exist yet, a clock, and a directory on this machine.
#[derive(Debug)]
pub(crate) struct Subject {
    harness: Harness,
    location: Url,
    /// The storage's clock and, unless set differently, the machine's.
    clock: ManualClock,
    machine_clock: MachineClock,
    dates: Dates,
    opened: OnceLock<Storage>,
    scratch: TempDir,
    new_paths: AtomicU32,
}

impl Subject {
    pub(crate) fn new(harness: &Harness) -> Result<Self> {
        let clock = ManualClock::new();
        Ok(Self {
            location: harness.fresh()?,
            harness: harness.clone(),
            dates: Dates::new(clock.clone()),
            machine_clock: MachineClock::new(clock.clone()),
            clock,
            opened: OnceLock::new(),
            scratch: tempfile::tempdir().context("can't make a directory to work in")?,
            new_paths: AtomicU32::new(0),
        })
    }

    pub(crate) fn harness(&self) -> &Harness {
        &self.harness
    }

    pub(crate) fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Sets the clock of swiftwal's machine ahead of the storage's, or behind it.
    pub(crate) fn set_machine_ahead(&self, by: SignedDuration) {
        self.machine_clock.set_ahead(by);
    }

    /// Returns a path on this machine at which nothing exists now.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Returns a path on this machine at which nothing has ever existed.
    pub(crate) fn new_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}-{}", self.new_paths.fetch_add(1, Ordering::Relaxed)))
    }

    /// Opens the storage itself anew.
    pub(crate) fn storage(&self) -> Result<Storage> {
        Ok(self.harness.open(&self.location, true)?)
    }

    /// Returns the storage itself, opened once: on some backends that costs requests.
    fn opened(&self) -> Result<&Storage> {
        if self.opened.get().is_none() {
            let _ = self.opened.set(self.storage()?);
        }
        self.opened.get().context("it was just opened")
    }

    fn store(&self) -> Result<&Arc<DynObjectStore>> {
        Ok(self.opened()?.store())
    }

    /// Opens the repository as a command that stores something does.
    pub(crate) fn repository(&self) -> Result<Repository> {
        self.repository_with(&Faults::none())
    }

    /// As [`repository`](Self::repository), with a faulty storage.
    pub(crate) fn repository_with(&self, faults: &Faults) -> Result<Repository> {
        Ok(self.of_storage(self.opened()?.clone(), faults))
    }

    /// As [`repository`](Self::repository), with a storage whose requests are so slow that this machine caches the
    /// repository's identity.
    pub(crate) fn caching_repository(&self, faults: &Faults) -> Result<Repository> {
        let storage = self.storage()?.with_state_dir(StateDir::new(self.path("state"))).with_identity_cache();
        Ok(self.of_storage(storage, faults))
    }

    /// As [`repository`](Self::repository), with a state directory on this machine.
    pub(crate) fn remembering_repository(&self) -> Result<Repository> {
        let storage = self.storage()?.with_state_dir(StateDir::new(self.path("state")));
        Ok(self.of_storage(storage, &Faults::none()))
    }

    /// As [`repository`](Self::repository), with limits of the storage that are learned later.
    pub(crate) fn repository_with_limits(&self, change: fn(Limits) -> Limits) -> Result<Repository> {
        let storage = self.storage()?.with_learned_limits(Arc::new(Learned(change)));
        Ok(self.of_storage(storage, &Faults::none()))
    }

    /// As [`repository`](Self::repository), with this much free space.
    pub(crate) fn repository_with_room(&self, free_bytes: u64) -> Result<Repository> {
        let storage = self.storage()?.with_space(Arc::new(Room { free_bytes }));
        Ok(self.of_storage(storage, &Faults::none()))
    }

    /// As [`repository`](Self::repository), with this preparation of the storage for its first request.
    pub(crate) fn repository_prepared_by(&self, prepare: Arc<dyn Prepare>) -> Result<Repository> {
        Ok(self.of_storage(self.storage()?.with_prepare(prepare), &Faults::none()))
    }

    /// Opens the repository as a command that only reads does.
    pub(crate) fn existing_repository(&self) -> Result<Repository, OpenError> {
        Ok(self.of_storage(self.harness.open(&self.location, false)?, &Faults::none()))
    }

    /// As [`repository`](Self::repository), in a storage that isn't as the harness opened it.
    pub(crate) fn of_storage(&self, storage: Storage, faults: &Faults) -> Repository {
        let storage = faulty(storage, faults, &self.dates);
        Repository::new(storage, self.location.as_str(), Arc::new(self.machine_clock.clone()))
    }

    /// Returns the names of all objects, including those that listings hide.
    pub(crate) async fn objects(&self) -> Result<BTreeSet<String>> {
        let listed = self.store()?.list(None);
        Ok(listed.map_ok(|object| object.location.to_string()).try_collect().await?)
    }

    /// As [`objects`](Self::objects), with the leftovers of uploads that no listing shows.
    pub(crate) async fn everything(&self) -> Result<BTreeSet<String>> {
        let mut names = self.objects().await?;
        if let Some(sweeper) = self.opened()?.sweeper() {
            names.extend(sweeper.leftovers(Timestamp::MAX, Vec::new()).await?);
        }
        Ok(names)
    }

    /// Returns an object's bytes.
    pub(crate) async fn get(&self, object: &str) -> Result<Bytes> {
        let found = self.store()?.get(&Path::from(object)).await.with_context(|| object.to_owned())?;
        Ok(found.bytes().await?)
    }

    /// Stores an object directly.
    pub(crate) async fn put(&self, object: &str, bytes: impl Into<Bytes> + Send) -> Result<()> {
        let bytes: Bytes = bytes.into();
        self.store()?.put(&Path::from(object), bytes.into()).await?;
        Ok(())
    }

    /// Deletes an object directly.
    pub(crate) async fn delete(&self, object: &str) -> Result<()> {
        Ok(self.store()?.delete(&Path::from(object)).await?)
    }
}

/// Limits that this changes from the declared ones.
#[derive(Debug)]
struct Learned(fn(Limits) -> Limits);

#[async_trait]
impl LearnLimits for Learned {
    async fn learn(&self, declared: Limits) -> object_store::Result<Limits> {
        Ok(self.0(declared))
    }
}

/// A disk that is nearly full.
#[derive(Debug)]
struct Room {
    free_bytes: u64,
}

#[async_trait]
impl StorageSpace for Room {
    async fn free_bytes(&self) -> object_store::Result<u64> {
        Ok(self.free_bytes)
    }
}
