//! A storage whose requests wait for their turn, so that a seed decides in which order those of several processes arrive.

use std::{
    convert::Infallible,
    fmt,
    future::pending,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    path::Path,
};
use swiftwal_core::Storage;
use tokio::sync::{Notify, oneshot};

use super::order::Order;

/// What goes wrong while the processes run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Trouble {
    #[default]
    None,
    /// A process is killed when it has had so many requests.
    Killed { process: &'static str, requests: usize },
    /// The storage is full until so many objects were deleted.
    Full { deletions: usize },
    /// The storage looks whether a name is free, and stores the object later, as Swift does: two processes that create the same
    /// object may both succeed, and the later content is kept.
    LateCreates,
}

/// The requests that wait, and those that were let through so far. Clones share both.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    trouble: Trouble,
    killed: Arc<Notify>,
    has_room: Arc<Notify>,
    waiting: Vec<Waiting>,
    passed: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) process: &'static str,
    /// The action and the object.
    pub(super) request: String,
    turn: oneshot::Sender<()>,
}

impl Turns {
    pub(super) fn with(trouble: Trouble) -> Self {
        let turns = Self::default();
        turns.state().trouble = trouble;
        turns
    }

    /// Awaits the work of a process. None if it is killed.
    pub(super) async fn process<T>(&self, name: &'static str, work: impl Future<Output = T>) -> Option<T> {
        let (trouble, notify) = {
            let state = self.state();
            (state.trouble, Arc::clone(&state.killed))
        };
        let killed = async {
            match trouble {
                Trouble::Killed { process, .. } if process == name => notify.notified().await,
                _ => pending().await,
            }
        };
        tokio::select! {
            done = work => Some(done),
            () = killed => None,
        }
    }
    /// Returns the storage as one of several processes sees it.
    pub(super) fn storage(&self, storage: Storage, process: &'static str) -> Storage {
        storage.map_store(|inner| Arc::new(TurnStore { inner, process, turns: self.clone() }))
    }

    /// Awaits `work`, and lets its requests through one after the other, in this order.
    ///
    /// The time of the runtime must be paused: it advances when everything waits for a request or a clock, and nothing
    /// is being computed, so the same seed gives the same order.
    pub(super) async fn play<T>(&self, order: Order, work: impl Future<Output = T>) -> T {
        tokio::select! {
            done = work => done,
            never = self.let_through(order) => match never {},
        }
    }

    async fn let_through(&self, mut order: Order) -> Infallible {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut state = self.state();
            state.waiting.retain(|waiting| !waiting.turn.is_closed());
            state.waiting.sort_by(|a, b| (a.process, &a.request).cmp(&(b.process, &b.request)));
            if let Some(next) = order.next(&state.waiting) {
                let Waiting { process, request, turn } = state.waiting.remove(next);
                if state.kills(process) {
                    state.passed.push(format!("{process} is killed before: {request}"));
                    state.killed.notify_one();
                } else {
                    state.passed.push(format!("{process}: {request}"));
                    let _ = turn.send(());
                }
            }
        }
    }

    /// Returns the requests that were let through, in order.
    pub(super) fn passed(&self) -> String {
        self.state().passed.join("\n")
    }

    async fn wait(&self, process: &'static str, request: String) {
        let (turn, is_ours) = oneshot::channel();
        self.state().waiting.push(Waiting { process, request, turn });
        // The sender is kept until the turn comes.
        let _ = is_ours.await;
    }

    /// Fails if the storage is full.
    fn room(&self) -> Result<()> {
        match self.state().trouble {
            Trouble::Full { deletions: 1.. } => Err(Error::Generic {
                store: "turns",
                source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
            }),
            _ => Ok(()),
        }
    }

    fn deleted(&self) {
        let mut state = self.state();
        if let Trouble::Full { deletions: deletions @ 1.. } = &mut state.trouble {
            *deletions -= 1;
            if *deletions == 0 {
                state.has_room.notify_one();
            }
        }
    }

    /// Makes room, if the storage is full.
    pub(super) fn make_room(&self) {
        let mut state = self.state();
        if let Trouble::Full { deletions } = &mut state.trouble {
            *deletions = 0;
            state.has_room.notify_one();
        }
    }

    /// Waits until a full storage has room.
    pub(super) async fn has_room(&self) {
        let has_room = Arc::clone(&self.state().has_room);
        has_room.notified().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the process is killed instead of its next request.
    fn kills(&mut self, next: &str) -> bool {
        match &mut self.trouble {
            Trouble::Killed { process, requests } if *process == next => {
                let is_over = *requests == 0;
                *requests = requests.saturating_sub(1);
                is_over
            }
            _ => false,
        }
    }
}

/// The store of one process. Each request waits for its turn, and is then carried out at once.
#[derive(Debug)]
struct TurnStore {
    inner: Arc<dyn ObjectStore>,
    process: &'static str,
    turns: Turns,
}

impl TurnStore {
    async fn turn(&self, action: &str, object: &Path) {
        self.turns.wait(self.process, format!("{action} {object}")).await;
    }

    /// Fails if the name is taken.
    async fn free(&self, location: &Path) -> Result<()> {
        match self.inner.head(location).await {
            Ok(_) => {
                Err(Error::AlreadyExists { path: location.to_string(), source: "the name is taken".into() })
            }
            Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn listed(
        &self,
        prefix: Option<&Path>,
        listing: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (turns, process) = (self.turns.clone(), self.process);
        let request = format!("list {}", prefix.map_or("", Path::as_ref));
        let listed = async move {
            turns.wait(process, request).await;
            listing
        };
        futures::stream::once(listed).flatten().boxed()
    }
}

impl fmt::Display for TurnStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {}", self.inner, self.process)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for TurnStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let is_late = matches!(self.turns.state().trouble, Trouble::LateCreates);
        if is_late && opts.mode == PutMode::Create {
            self.turn("get before put", location).await;
            self.free(location).await?;
            self.turn("put", location).await;
            return self
                .inner
                .put_opts(location, payload, PutOptions { mode: PutMode::Overwrite, ..opts })
                .await;
        }
        self.turn("put", location).await;
        self.turns.room()?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.turns.room()?;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.turn("get", location).await;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.turn("get", location).await;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, turns, process) = (Arc::clone(&self.inner), self.turns.clone(), self.process);
        let deleted = locations.and_then(move |location| {
            let (inner, turns) = (Arc::clone(&inner), turns.clone());
            async move {
                turns.wait(process, format!("delete {location}")).await;
                inner.delete(&location).await?;
                turns.deleted();
                Ok(location)
            }
        });
        deleted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        // A listing in memory is read when it is polled first.
        let (inner, prefix) = (Arc::clone(&self.inner), prefix.cloned());
        let wanted = prefix.clone();
        let listing = futures::stream::once(async move { inner.list(prefix.as_ref()) }).flatten().boxed();
        self.listed(wanted.as_ref(), listing)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, wanted, offset) = (Arc::clone(&self.inner), prefix.cloned(), offset.clone());
        let listing =
            futures::stream::once(async move { inner.list_with_offset(wanted.as_ref(), &offset) }).flatten();
        self.listed(prefix, listing.boxed())
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.turn("list", &prefix.cloned().unwrap_or_default()).await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.turn("copy", to).await;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.turn("rename", to).await;
        self.inner.rename_opts(from, to, options).await
    }
}
