//! The plug-in point: how a kind of storage is opened, and what the flows may ask of it.
//!
//! A backend is a crate with one `impl Backend`. A [`Registry`] is a value that holds the backends a
//! program knows; there is no global one and nothing runs before `main`.

mod clock;
mod limits;
mod options;
mod registry;
mod space;

use std::{error::Error, fmt, io, iter, sync::Arc};

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::Timestamp;
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use crate::local::state_dir::StateDir;

pub use self::{
    clock::StorageClock,
    limits::Limits,
    options::Options,
    registry::{OpenError, Registry},
    space::StorageSpace,
};

/// Opens the repositories of one kind of storage.
pub trait Backend: fmt::Debug + Send + Sync {
    /// The URL schemes this backend answers to, in lower case, the preferred one first.
    fn schemes(&self) -> &'static [&'static str];

    /// The names of the settings it takes; one that ends in `_` stands for all that begin so.
    ///
    /// A program passes on no others, and refuses a configuration file that holds others: they would do nothing.
    fn settings(&self) -> &'static [&'static str] {
        &[]
    }

    /// Opens the storage at `location`, whose scheme is one of [`schemes`](Self::schemes).
    ///
    /// It may look at local things (a directory, a file of settings) but makes no network request: those
    /// belong to the first use. Only with [`Options::create`] may what is missing be made.
    fn open(&self, location: &Url, options: &Options) -> Result<Storage, OpenError>;
}

/// Finds and removes what uploads that died have left where no listing shows it.
#[async_trait]
pub trait Sweep: fmt::Debug + Send + Sync {
    /// Names the leftovers that nobody has touched since `before`, for a person to read and for
    /// [`remove`](Self::remove). An upload in progress is never among them.
    async fn leftovers(&self, before: Timestamp) -> object_store::Result<Vec<String>>;

    /// The same for who lists the storage meanwhile: `listed` comes to what that shows of long objects, or
    /// of some of them. To go by it may save requests.
    async fn leftovers_beside(
        &self,
        before: Timestamp,
        listed: BoxFuture<'_, Vec<ObjectMeta>>,
    ) -> object_store::Result<Vec<String>> {
        drop(listed);
        self.leftovers(before).await
    }

    /// Removes leftovers by the names that [`leftovers`](Self::leftovers) gave; one that is already gone
    /// is no error.
    async fn remove(&self, leftovers: &[String]) -> object_store::Result<()>;
}

/// Looks at the names at a storage's top, where that costs far less than a listing.
#[async_trait]
pub trait TopNames: fmt::Debug + Send + Sync {
    /// Whether any of them, of an object or of a directory, is `wanted`.
    async fn any(&self, wanted: for<'a> fn(&'a str) -> bool) -> object_store::Result<bool>;
}

/// Does ahead what a storage's first request would have to wait for, such as asking for a token.
#[async_trait]
pub trait Prepare: fmt::Debug + Send + Sync {
    /// Returns when a request can go out at once. What fails here would have failed that request.
    async fn prepare(&self) -> object_store::Result<()>;
}

/// One opened place of storage: an [`ObjectStore`] and what that trait can't say.
///
/// What the store acknowledges must be durable, a name it lists must be whole, and it may answer
/// `NotFound` only if the object is proven absent: a missing container or directory is another error.
#[derive(Clone, Debug)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    sweep: Option<Arc<dyn Sweep>>,
    top_names: Option<Arc<dyn TopNames>>,
    prepare: Option<Arc<dyn Prepare>>,
    clock: Option<Arc<dyn StorageClock>>,
    space: Option<Arc<dyn StorageSpace>>,
    limits: Limits,
    state_dir: Option<StateDir>,
    caches_identity: bool,
    volatile: bool,
    says_full: fn(&(dyn Error + 'static)) -> bool,
}

impl Storage {
    /// Storage that leaves nothing behind which its listing doesn't show.
    #[must_use]
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            sweep: None,
            top_names: None,
            prepare: None,
            clock: None,
            space: None,
            limits: Limits::default(),
            state_dir: None,
            caches_identity: false,
            volatile: false,
            says_full: |_| false,
        }
    }

    /// Says how the leftovers of died uploads are found.
    #[must_use]
    pub fn with_sweep(self, sweep: Arc<dyn Sweep>) -> Self {
        Self { sweep: Some(sweep), ..self }
    }

    /// Says how the names at its top are looked at, so that a place that holds no repository is told from one that
    /// does before everything below it is listed.
    #[must_use]
    pub fn with_top_names(self, top_names: Arc<dyn TopNames>) -> Self {
        Self { top_names: Some(top_names), ..self }
    }

    /// Says how it can be made ready while something else is done.
    #[must_use]
    pub fn with_prepare(self, prepare: Arc<dyn Prepare>) -> Self {
        Self { prepare: Some(prepare), ..self }
    }

    /// Says how its own time is learned. Without it, an object is written for that and deleted again.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn StorageClock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// Says how its free space is learned, where it has an end.
    #[must_use]
    pub fn with_space(self, space: Arc<dyn StorageSpace>) -> Self {
        Self { space: Some(space), ..self }
    }

    /// Says how large its objects may be, and in what parts they are written.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Sets the directory in which this machine keeps what it knows of this place, and of no other. With it, a
    /// repository that was there before and has vanished isn't created again unless that is asked for.
    #[must_use]
    pub fn with_state_dir(self, state_dir: StateDir) -> Self {
        Self { state_dir: Some(state_dir), ..self }
    }

    /// Lets archive-wal rely for ten minutes on what the state directory says of `cluster.json`. For storage whose
    /// every request takes its time.
    #[must_use]
    pub fn with_identity_cache(self) -> Self {
        Self { caches_identity: true, ..self }
    }

    /// Marks storage whose content ends with this process. A program must not acknowledge WAL or a backup there,
    /// except in a test.
    #[must_use]
    pub fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }

    /// Says which error, anywhere among the causes of one, means that there is no room left, or that a quota is used up.
    /// What the system says of a file is known without.
    #[must_use]
    pub fn with_fullness(self, says_full: fn(&(dyn Error + 'static)) -> bool) -> Self {
        Self { says_full, ..self }
    }

    /// The same storage behind another store, as a wrapper that counts or fails calls needs it.
    #[must_use]
    pub fn map_store(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { store: wrap(self.store), ..self }
    }

    /// The objects.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Makes it ready for a request, where that takes its time.
    pub(crate) async fn prepare(&self) -> object_store::Result<()> {
        match &self.prepare {
            Some(prepare) => prepare.prepare().await,
            None => Ok(()),
        }
    }

    /// How its own time is learned, where its answers or files tell it.
    #[must_use]
    pub fn clock(&self) -> Option<&Arc<dyn StorageClock>> {
        self.clock.as_ref()
    }

    /// How its free space is learned, where it has an end.
    #[must_use]
    pub fn space(&self) -> Option<&Arc<dyn StorageSpace>> {
        self.space.as_ref()
    }

    /// How large its objects may be, and in what parts they are written.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// The directory in which this machine keeps what it knows of this place.
    #[must_use]
    pub fn state_dir(&self) -> Option<&StateDir> {
        self.state_dir.as_ref()
    }

    /// The state directory, where it spares requests.
    pub(crate) fn identity_cache(&self) -> Option<&StateDir> {
        self.state_dir.as_ref().filter(|_| self.caches_identity)
    }

    /// Whether the content ends with this process.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.volatile
    }

    /// Whether `error` means that nothing more can be stored for want of room. What is stored can be deleted then.
    pub(crate) fn is_full(&self, error: &(dyn Error + 'static)) -> bool {
        let mut causes = iter::successors(Some(error), |&error| error.source());
        causes.any(|cause| is_full_disk(cause) || (self.says_full)(cause))
    }

    /// How the names at its top are looked at, where that is cheap.
    pub(crate) fn top_names(&self) -> Option<&Arc<dyn TopNames>> {
        self.top_names.as_ref()
    }

    /// How leftovers are found, where there can be any.
    #[must_use]
    pub fn sweeper(&self) -> Option<&Arc<dyn Sweep>> {
        self.sweep.as_ref()
    }
}

/// Whether the system said that a disk is full, or that a quota is used up.
fn is_full_disk(error: &(dyn Error + 'static)) -> bool {
    let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
    error.downcast_ref::<io::Error>().is_some_and(|error| full.contains(&error.kind()))
}
