//! The plug-in point for storage: how a backend is opened, and what the flows need from it.
//!
//! A backend is a crate with one `impl Backend`. A [`Registry`] is a value that holds a program's
//! backends; there is no global one and nothing runs before `main`.

mod clock;
mod create_in_parts;
mod limits;
mod options;
mod registry;
mod space;

use std::{collections::BTreeMap, error::Error, fmt, io, iter, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use object_store::{GetOptions, ObjectMeta, ObjectStore};
use url::Url;

use crate::{error::OpenError, local::state_dir::StateDir};

pub use self::{
    clock::StorageClock,
    create_in_parts::CreateInParts,
    limits::{LearnLimits, Limits},
    options::Options,
    registry::{Absent, Registry},
    space::StorageSpace,
};

/// Opens the repositories of one kind of storage.
pub trait Backend: fmt::Debug + Send + Sync {
    /// Returns the URL schemes that this backend handles, in lower case, the preferred one first.
    fn schemes(&self) -> &'static [&'static str];

    /// Returns the names of the settings that it accepts; one that ends in `_` stands for all with this prefix.
    ///
    /// A program passes only these, and refuses a configuration file with others, since they would have no effect.
    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// Merges the settings of two sources, such as the environment and a file, of which the `upper` one overrides the
    /// `lower` one. By default each name is overridden by itself. A backend that has several names for one thing lets
    /// one of them in the upper source hide all of them in the lower one.
    fn merge_settings(
        &self,
        upper: BTreeMap<String, String>,
        mut lower: BTreeMap<String, String>,
    ) -> BTreeMap<String, String> {
        lower.extend(upper);
        lower
    }

    /// Returns where the settings come from, as a hint for an error about them.
    fn settings_hint(&self) -> Option<&'static str> {
        None
    }

    /// Opens the storage at `location`, whose scheme is one of [`schemes`](Self::schemes).
    ///
    /// It may access local files but makes no network request. It creates missing directories or containers only with
    /// [`Options::create`].
    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError>;
}

/// Finds and removes the leftovers of crashed uploads, which no listing shows.
#[async_trait]
pub trait Sweep: fmt::Debug + Send + Sync {
    /// Returns the names of the leftovers that no upload has touched since `before`, for messages and for
    /// [`remove`](Self::remove). An upload in progress is never among them. Each name contains that of the object that
    /// the upload was for, separated by `/` or `#`.
    ///
    /// `listed` contains the large objects, or some of them, that a listing of the storage has just shown; it is empty
    /// unless they are [wanted](Self::wants_listed).
    async fn leftovers(
        &self,
        before: Timestamp,
        listed: Vec<ObjectMeta>,
    ) -> object_store::Result<Vec<String>>;

    /// Whether [`leftovers`](Self::leftovers) saves requests with what a listing has shown. If not, it is called while
    /// the storage is being listed.
    fn wants_listed(&self) -> bool {
        false
    }

    /// Removes leftovers by the names that [`leftovers`](Self::leftovers) returned. A missing one is not an error.
    async fn remove(&self, leftovers: &[String]) -> object_store::Result<()>;
}

/// Reads the names at a storage's top level, if that costs far less than a listing.
#[async_trait]
pub trait TopNames: fmt::Debug + Send + Sync {
    /// Returns true if the name of an object or a directory at the top is `wanted`.
    async fn any(&self, wanted: for<'a> fn(&'a str) -> bool) -> object_store::Result<bool>;
}

/// Prepares a storage for its first request, for example by obtaining a token.
#[async_trait]
pub trait Prepare: fmt::Debug + Send + Sync {
    /// Returns when a request can be sent at once. A failure here would have failed that request.
    async fn prepare(&self) -> object_store::Result<()>;
}

/// Returns what to do about an error of a storage. It is called for each cause separately, and returns none for an
/// error that it doesn't know.
pub type Hints = fn(&(dyn Error + 'static)) -> Option<String>;

/// An opened storage: an [`ObjectStore`], and the capabilities that this trait lacks.
///
/// What the store acknowledges must be durable, an object that it lists must be complete, and it may answer `NotFound`
/// only if the object is proven to be missing: a missing container or directory is another error.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    sweep: Option<Arc<dyn Sweep>>,
    top_names: Option<Arc<dyn TopNames>>,
    prepare: Option<Arc<dyn Prepare>>,
    clock: Option<Arc<dyn StorageClock>>,
    space: Option<Arc<dyn StorageSpace>>,
    create_in_parts: Option<Arc<dyn CreateInParts>>,
    limits: Limits,
    learn_limits: Option<Arc<dyn LearnLimits>>,
    state_dir: Option<StateDir>,
    hints: Hints,
    caches_identity: bool,
    lists_in_order: bool,
    unproven_read: GetOptions,
    volatile: bool,
    says_full: fn(&(dyn Error + 'static)) -> bool,
    configuration: String,
}

impl Storage {
    /// Creates a storage whose crashed uploads leave nothing that a listing doesn't show.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            sweep: None,
            top_names: None,
            prepare: None,
            clock: None,
            space: None,
            create_in_parts: None,
            limits: Limits::default(),
            learn_limits: None,
            state_dir: None,
            hints: |_| None,
            caches_identity: false,
            lists_in_order: false,
            unproven_read: GetOptions::default(),
            volatile: false,
            says_full: |_| false,
            configuration: String::new(),
        }
    }

    /// Adds the search for leftovers of crashed uploads.
    #[must_use]
    pub fn with_sweep(self, sweep: Arc<dyn Sweep>) -> Self {
        Self { sweep: Some(sweep), ..self }
    }

    /// Adds the reading of the names at the top level, so that a storage without a repository is recognised before
    /// everything in it is listed.
    #[must_use]
    pub fn with_top_names(self, top_names: Arc<dyn TopNames>) -> Self {
        Self { top_names: Some(top_names), ..self }
    }

    /// Adds a preparation, which can run while something else is done.
    #[must_use]
    pub fn with_prepare(self, prepare: Arc<dyn Prepare>) -> Self {
        Self { prepare: Some(prepare), ..self }
    }

    /// Adds the storage's own clock. Without it, an object is written to learn the time, and deleted again.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn StorageClock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Adds the measurement of the free space, for a storage of limited size.
    #[must_use]
    pub fn with_space(self, space: Arc<dyn StorageSpace>) -> Self {
        Self { space: Some(space), ..self }
    }

    /// Adds the creation of objects in parts. Without it, a WAL file is compressed into memory as a whole.
    #[must_use]
    pub fn with_create_in_parts(self, create_in_parts: Arc<dyn CreateInParts>) -> Self {
        Self { create_in_parts: Some(create_in_parts), ..self }
    }

    /// Sets the largest size of an object, and the size of the parts in which it is written.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Adds the learning of limits that differ between clusters.
    #[must_use]
    pub fn with_learned_limits(self, learn_limits: Arc<dyn LearnLimits>) -> Self {
        Self { learn_limits: Some(learn_limits), ..self }
    }

    /// Sets the directory in which this machine keeps its state of this repository alone. With it, a repository that
    /// existed before and has vanished isn't created again unless the caller asks for it.
    #[must_use]
    pub fn with_state_dir(self, state_dir: StateDir) -> Self {
        Self { state_dir: Some(state_dir), ..self }
    }

    /// Sets what its location and settings hash to.
    #[must_use]
    pub(crate) fn with_configuration(self, configuration: String) -> Self {
        Self { configuration, ..self }
    }

    /// Returns a text that differs for other locations and settings. It is empty for a storage that no registry has
    /// opened. Keep it secret: it is a hash of passwords, too.
    pub(crate) fn configuration(&self) -> &str {
        &self.configuration
    }

    /// Sets the hints for the errors of its store.
    #[must_use]
    pub fn with_hints(self, hints: Hints) -> Self {
        Self { hints, ..self }
    }

    /// Lets archive-wal rely for ten minutes on the copy of `cluster.json` in the state directory, for a storage with
    /// slow requests.
    #[must_use]
    pub fn with_identity_cache(self) -> Self {
        Self { caches_identity: true, ..self }
    }

    /// Declares that a listing is in the byte order of the names, so that it can be stopped where the wanted name would
    /// have been.
    #[must_use]
    pub fn with_ordered_listings(self) -> Self {
        Self { lists_in_order: true, ..self }
    }

    /// Sets the options of a read whose `NotFound` needn't prove that the container or directory exists, for a storage
    /// on which that proof costs a request: restore-wal proves it by the listing that follows.
    #[must_use]
    pub fn with_unproven_read(self, unproven_read: GetOptions) -> Self {
        Self { unproven_read, ..self }
    }

    /// Marks a storage whose content is lost when this process ends. A program must not acknowledge WAL or a backup
    /// there, except in a test.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }

    /// Sets the test for errors which mean that the storage is full or a quota is used up. It is applied to an error
    /// and each of its causes. The system's own file errors are recognised without it.
    #[must_use]
    pub fn with_fullness(self, says_full: fn(&(dyn Error + 'static)) -> bool) -> Self {
        Self { says_full, ..self }
    }

    /// Returns the same storage with its store wrapped, for example to count calls or make them fail.
    #[must_use]
    pub fn map_store(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { store: wrap(self.store), ..self }
    }

    /// Returns the store of the objects.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Prepares for a request, if the backend has a preparation.
    pub(crate) async fn prepare(&self) -> object_store::Result<()> {
        match &self.prepare {
            Some(prepare) => prepare.prepare().await,
            None => Ok(()),
        }
    }

    /// Returns the storage's own clock, if the backend has one.
    #[must_use]
    pub fn clock(&self) -> Option<&Arc<dyn StorageClock>> {
        self.clock.as_ref()
    }

    /// Returns the measurement of the free space, if the storage is of limited size.
    #[must_use]
    pub fn space(&self) -> Option<&Arc<dyn StorageSpace>> {
        self.space.as_ref()
    }

    /// Returns the creation of objects in parts, if the backend has it.
    #[must_use]
    pub fn create_in_parts(&self) -> Option<&Arc<dyn CreateInParts>> {
        self.create_in_parts.as_ref()
    }

    /// Returns the declared limits: the largest size of an object, and the size of the parts in which it is written.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Returns the limits that apply to an object of more than one part. The backend may need a request to learn them.
    pub(crate) async fn learned_limits(&self) -> object_store::Result<Limits> {
        match &self.learn_limits {
            Some(limits) => limits.learn(self.limits).await,
            None => Ok(self.limits),
        }
    }

    /// Returns the directory in which this machine keeps its state of this repository.
    #[must_use]
    pub fn state_dir(&self) -> Option<&StateDir> {
        self.state_dir.as_ref()
    }

    /// Returns what to do about `error` and its causes.
    pub(crate) fn hint(&self, error: &(dyn Error + 'static)) -> Option<String> {
        let causes = iter::successors(Some(error), |&error| error.source());
        let mut hints: Vec<_> = causes.filter_map(self.hints).collect();
        hints.dedup();
        (!hints.is_empty()).then(|| hints.join("; "))
    }

    /// Returns the state directory, if it is also a cache of the repository's identity.
    pub(crate) fn identity_cache(&self) -> Option<&StateDir> {
        self.state_dir.as_ref().filter(|_| self.caches_identity)
    }

    /// Whether listings are in the byte order of the names.
    pub(crate) fn lists_in_order(&self) -> bool {
        self.lists_in_order
    }

    /// Returns the options of a read whose `NotFound` another request proves.
    pub(crate) fn unproven_read(&self) -> GetOptions {
        self.unproven_read.clone()
    }

    /// Whether the content is lost when this process ends.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Whether `error` means that the storage is full. Objects can still be deleted then.
    pub(crate) fn is_full(&self, error: &(dyn Error + 'static)) -> bool {
        let mut causes = iter::successors(Some(error), |&error| error.source());
        causes.any(|cause| is_full_disk(cause) || (self.says_full)(cause))
    }

    /// Returns the reading of the names at the top level, if it is cheap.
    pub(crate) fn top_names(&self) -> Option<&Arc<dyn TopNames>> {
        self.top_names.as_ref()
    }

    /// Returns the search for leftovers, if there can be any.
    #[must_use]
    pub fn sweeper(&self) -> Option<&Arc<dyn Sweep>> {
        self.sweep.as_ref()
    }
}

/// Whether the operating system has reported that a disk is full or a quota is used up.
fn is_full_disk(error: &(dyn Error + 'static)) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    error.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind()))
}
