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
use swiftwal_core::{Limits, OpenError, Prepare, Repository, StateDir, Storage, StorageSpace};
use tempfile::TempDir;
use url::Url;

use crate::{
    Harness, ManualClock,
    clock::MachineClock,
    faulty::{Dates, Faults, faulty},
};

/// What one scenario works on: a repository of its own, which doesn't exist yet, a clock, and a directory on this machine.
#[derive(Debug)]
pub(crate) struct Subject {
    harness: Harness,
    location: Url,
    /// The storage's clock, and unless it is told to differ the machine's.
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

    /// Sets the clock of the machine that swiftwal runs on so much ahead of the storage's, or behind it.
    pub(crate) fn set_machine_ahead(&self, by: SignedDuration) {
        self.machine_clock.set_ahead(by);
    }

    /// A path on this machine where nothing is yet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// A path on this machine where nothing ever was.
    pub(crate) fn new_path(&self, name: &str) -> PathBuf {
        self.path(&format!("{name}-{}", self.new_paths.fetch_add(1, Ordering::Relaxed)))
    }

    /// The storage beneath, opened once more.
    pub(crate) fn storage(&self) -> Result<Storage> {
        Ok(self.harness.open(&self.location, true)?)
    }

    /// The storage beneath, opened once: on some backends that costs requests.
    fn opened(&self) -> Result<&Storage> {
        if self.opened.get().is_none() {
            let _ = self.opened.set(self.storage()?);
        }
        self.opened.get().context("it was just opened")
    }

    fn store(&self) -> Result<&Arc<DynObjectStore>> {
        Ok(self.opened()?.store())
    }

    /// The repository as a command that stores something opens it.
    pub(crate) fn repository(&self) -> Result<Repository> {
        self.repository_with(&Faults::none())
    }

    /// The same, with a storage that will go wrong.
    pub(crate) fn repository_with(&self, faults: &Faults) -> Result<Repository> {
        Ok(self.of_storage(self.opened()?.clone(), faults))
    }

    /// The same, of a storage whose requests are so costly that this machine remembers what it saw.
    pub(crate) fn remembering_repository(&self, faults: &Faults) -> Result<Repository> {
        let storage = self.storage()?.with_state_dir(StateDir::new(self.path("state"))).with_identity_cache();
        Ok(self.of_storage(storage, faults))
    }

    /// The same, of a storage with such limits.
    pub(crate) fn repository_with_limits(&self, change: fn(Limits) -> Limits) -> Result<Repository> {
        let storage = self.storage()?;
        let limits = change(storage.limits());
        Ok(self.of_storage(storage.with_limits(limits), &Faults::none()))
    }

    /// The same, of a storage that has so much room left.
    pub(crate) fn repository_with_room(&self, free_bytes: u64) -> Result<Repository> {
        let storage = self.storage()?.with_space(Arc::new(Room { free_bytes }));
        Ok(self.of_storage(storage, &Faults::none()))
    }

    /// The same, of a storage that is prepared so for its first request.
    pub(crate) fn repository_prepared_by(&self, prepare: Arc<dyn Prepare>) -> Result<Repository> {
        Ok(self.of_storage(self.storage()?.with_prepare(prepare), &Faults::none()))
    }

    /// The repository as a command that only reads opens it.
    pub(crate) fn existing_repository(&self) -> Result<Repository, OpenError> {
        Ok(self.of_storage(self.harness.open(&self.location, false)?, &Faults::none()))
    }

    fn of_storage(&self, storage: Storage, faults: &Faults) -> Repository {
        let storage = faulty(storage, faults, &self.dates);
        Repository::new(storage, self.location.as_str(), Arc::new(self.machine_clock.clone()))
    }

    /// The names of all objects, those that listings hide included.
    pub(crate) async fn objects(&self) -> Result<BTreeSet<String>> {
        let listed = self.store()?.list(None);
        Ok(listed.map_ok(|object| object.location.to_string()).try_collect().await?)
    }

    /// The same, with what uploads left where no listing shows it.
    pub(crate) async fn everything(&self) -> Result<BTreeSet<String>> {
        let mut names = self.objects().await?;
        if let Some(sweeper) = self.opened()?.sweeper() {
            names.extend(sweeper.leftovers(Timestamp::MAX, Vec::new()).await?);
        }
        Ok(names)
    }

    /// An object's bytes.
    pub(crate) async fn get(&self, object: &str) -> Result<Bytes> {
        let found = self.store()?.get(&Path::from(object)).await.with_context(|| object.to_owned())?;
        Ok(found.bytes().await?)
    }

    /// Puts an object behind the repository's back.
    pub(crate) async fn put(&self, object: &str, bytes: impl Into<Bytes> + Send) -> Result<()> {
        let bytes: Bytes = bytes.into();
        self.store()?.put(&Path::from(object), bytes.into()).await?;
        Ok(())
    }

    /// Deletes an object behind the repository's back.
    pub(crate) async fn delete(&self, object: &str) -> Result<()> {
        Ok(self.store()?.delete(&Path::from(object)).await?)
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
