//! The faults of a store, and the record of the calls that it received.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::{Error, Result, path::Path};

use super::{
    effect::{Act, Effect, full, injected},
    pace::Pace,
};

/// The faults that a store injects, and the calls that it has received so far. Clones share both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    pace: Pace,
}

#[derive(Debug, Default)]
struct State {
    writes: Vec<Call>,
    reads: Vec<String>,
    write_fault: Option<(usize, WriteFault)>,
    read_fault: Option<(usize, ReadFault)>,
    unlisted: bool,
    unproven: bool,
    hidden: Option<String>,
    markers_hidden: bool,
    vanished: Option<String>,
    unreadable: Option<String>,
    held: Option<String>,
    trickles: bool,
    full: bool,
    dead: bool,
    silent: bool,
}

/// A listing, in the record of [reading calls](Faults::reads).
pub(crate) const LISTING: &str = "a listing";

/// A search for leftovers, in the record of [reading calls](Faults::reads).
pub(crate) const SWEEP: &str = "a sweep";

/// A call that changes what is stored: it creates, completes, abandons or deletes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The action: `put`, `put_part`, `complete`, `delete`, …
    pub(crate) action: &'static str,
    /// The object of the action.
    pub(crate) object: String,
}

impl Call {
    /// Returns the kind of the object: its name without what distinguishes objects of one kind.
    pub(crate) fn kind(&self) -> (&'static str, String) {
        (self.action, self.object.chars().filter(|c| !c.is_ascii_hexdigit()).collect())
    }
}

/// The fault of a writing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// It does nothing and reports an error. Later calls work.
    FailsOnce,
    /// It does nothing, and neither does any later call, including reading ones, as if the process had been killed:
    /// nothing can be cleaned up.
    Dies,
    /// It succeeds and reports an error: the response was lost.
    LosesReply,
    /// It does nothing and never returns. Neither does any later call, including reading ones.
    Hangs,
    /// It succeeds and never returns. Later calls do nothing, and never return either.
    HangsWhenDone,
}

impl WriteFault {
    /// Every fault after which a command ends by itself.
    pub(crate) const ALL: [Self; 3] = [Self::FailsOnce, Self::Dies, Self::LosesReply];
}

/// The fault of a reading call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    /// It reports an error.
    Fails,
    /// The body ends early, without an error.
    Cut,
    /// One bit of the body is wrong.
    FlipsBit,
    /// It never returns. Neither does any later call, including writing ones.
    Hangs,
}

impl ReadFault {
    /// Every fault after which a command ends by itself.
    pub(crate) const ALL: [Self; 3] = [Self::Fails, Self::Cut, Self::FlipsBit];
}

impl Faults {
    /// Creates the state without a fault: calls are only recorded.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    fn with(change: impl FnOnce(&mut State)) -> Self {
        let faults = Self::default();
        change(&mut faults.state());
        faults
    }

    /// Sets a fault for the `n`th writing call from now, counted from 1.
    pub(crate) fn at_write(n: usize, fault: WriteFault) -> Self {
        Self::with(|state| state.write_fault = Some((n, fault)))
    }

    /// Sets a fault for the `n`th reading call from now, counted from 1.
    pub(crate) fn at_read(n: usize, fault: ReadFault) -> Self {
        Self::with(|state| state.read_fault = Some((n, fault)))
    }

    /// Creates the state in which everything works except listings, as when Swift's container servers are down.
    pub(crate) fn at_every_listing() -> Self {
        Self::with(|state| state.unlisted = true)
    }

    /// Makes listings fail from now on.
    pub(crate) fn stop_listings(&self) {
        self.state().unlisted = true;
    }

    /// Makes reading of `object` fail.
    pub(crate) fn unreadable(object: impl ToString) -> Self {
        Self::with(|state| state.unreadable = Some(object.to_string()))
    }

    /// Makes bodies arrive byte by byte, each when it is [given](Self::give).
    pub(crate) fn trickling() -> Self {
        Self::with(|state| state.trickles = true)
    }

    /// Delays the first answer about `object` until it is [released](Self::let_go).
    pub(crate) fn holding(object: impl ToString) -> Self {
        Self::with(|state| state.held = Some(object.to_string()))
    }

    /// As [`at_every_listing`](Self::at_every_listing); in addition, no object can be proven to be missing: Swift would
    /// have to check whether the container exists.
    pub(crate) fn at_every_absence() -> Self {
        let faults = Self::at_every_listing();
        faults.state().unproven = true;
        faults
    }

    /// Makes listings lack `object`, as if they lagged behind.
    pub(crate) fn hiding(object: impl ToString) -> Self {
        Self::with(|state| state.hidden = Some(object.to_string()))
    }

    /// Makes listings lack the markers of backups in progress.
    pub(crate) fn hiding_markers() -> Self {
        Self::with(|state| state.markers_hidden = true)
    }

    /// Makes listings show `object` although it doesn't exist, as if they lagged behind a deletion. If it is stored
    /// again, it exists.
    pub(crate) fn vanished(object: impl ToString) -> Self {
        Self::with(|state| state.vanished = Some(object.to_string()))
    }

    /// Makes every put fail for lack of space, including that of an object to learn the time.
    pub(crate) fn no_room() -> Self {
        Self::with(|state| state.full = true)
    }

    /// Returns the writing calls so far, including those that failed.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.state().writes.clone()
    }

    /// Returns the requests of the reading calls so far: objects by name (complete, a range or the size), [`LISTING`],
    /// or [`SWEEP`].
    pub(crate) fn reads(&self) -> Vec<String> {
        self.state().reads.clone()
    }

    /// Returns when a call hangs.
    pub(crate) async fn hung(&self) {
        self.0.pace.hung().await;
    }

    /// Returns when the storage waits for the next byte.
    pub(crate) async fn wanted(&self) {
        self.0.pace.wanted().await;
    }

    /// Releases one byte of a slow body.
    pub(crate) fn give(&self) {
        self.0.pace.give();
    }

    /// Returns when the answer is delayed.
    pub(crate) async fn held(&self) {
        self.0.pace.held().await;
    }

    /// Releases the delayed answer.
    pub(crate) fn let_go(&self) {
        self.0.pace.let_go();
    }

    /// Whether a process no longer cleans up what it has begun: it was killed, or hangs.
    pub(super) fn leaves_all_open(&self) -> bool {
        self.state().dead
    }

    /// Whether listings fail.
    pub(super) fn is_unlisted(&self) -> bool {
        self.state().unlisted
    }

    pub(super) fn trickles(&self) -> bool {
        self.state().trickles
    }

    /// Never returns.
    pub(super) async fn hang<T>(&self) -> T {
        self.0.pace.hang().await
    }

    /// Waits for the next byte of a slow body.
    pub(super) async fn byte(&self) {
        self.0.pace.byte().await;
    }

    /// Delays the answer about `object`, if that was requested.
    pub(super) async fn hold(&self, object: &Path) {
        let is_held = self.state().held.take_if(|held| held == object.as_ref()).is_some();
        if is_held {
            self.0.pace.hold().await;
        }
    }

    pub(super) fn write(&self, action: &'static str, object: impl ToString) -> Effect {
        let mut state = self.state();
        state.writes.push(Call { action, object: object.to_string() });
        let n = state.writes.len();
        let fault = state.write_fault.filter(|(at, _)| *at == n).map(|(_, fault)| fault);
        let act = match fault {
            _ if state.dead => Act::Refuse,
            _ if state.silent => Act::Hang,
            None => Act::Perform,
            Some(WriteFault::FailsOnce | WriteFault::Dies) => Act::Refuse,
            Some(WriteFault::LosesReply) => Act::PerformAndFail,
            Some(WriteFault::Hangs) => Act::Hang,
            Some(WriteFault::HangsWhenDone) => Act::PerformAndHang,
        };
        state.dead |= fault == Some(WriteFault::Dies);
        state.silent |= matches!(fault, Some(WriteFault::Hangs | WriteFault::HangsWhenDone));
        Effect::new(act, self)
    }

    /// Returns the fault in the body of the reading call for `what`, which begins. The call may also fail at once, or
    /// never return.
    pub(super) async fn read(&self, what: impl ToString + Send) -> Result<Option<ReadFault>> {
        match self.begin_read(&what.to_string()) {
            Some(ReadFault::Fails) => Err(injected()),
            Some(ReadFault::Hangs) => self.hang().await,
            fault => Ok(fault),
        }
    }

    fn begin_read(&self, what: &str) -> Option<ReadFault> {
        let mut state = self.state();
        state.reads.push(what.to_owned());
        let n = state.reads.len();
        let fault = match state.read_fault {
            _ if state.dead || state.unreadable.as_deref() == Some(what) => Some(ReadFault::Fails),
            _ if state.silent => Some(ReadFault::Hangs),
            Some((at, fault)) if at == n => Some(fault),
            _ => None,
        };
        state.silent |= fault == Some(ReadFault::Hangs);
        fault
    }

    /// Fails, or never returns, if that is the fault of the listing that begins.
    pub(super) async fn list(&self) -> Result<()> {
        let fault = self.read(LISTING).await?;
        if fault.is_some() || self.is_unlisted() { Err(injected()) } else { Ok(()) }
    }

    /// Fails, or never returns, if the storage can't supply the time.
    pub(super) async fn time(&self) -> Result<()> {
        if self.state().silent { self.hang().await } else { self.room() }
    }

    /// Returns the answer that replaces "not found".
    pub(super) fn absence(&self, error: Error) -> Error {
        let is_absence = matches!(error, Error::NotFound { .. });
        if is_absence && self.state().unproven { injected() } else { error }
    }

    /// Whether listings show `object`.
    pub(super) fn shows(&self, object: &Path) -> bool {
        let state = self.state();
        let is_marker = object.as_ref().starts_with("...uploading/");
        state.hidden.as_deref() != Some(object.as_ref()) && !(state.markers_hidden && is_marker)
    }

    /// Fails if there is no space.
    pub(super) fn room(&self) -> Result<()> {
        if self.state().full { Err(full()) } else { Ok(()) }
    }

    /// Whether `object` still exists, whatever listings show.
    pub(super) fn has(&self, object: &Path) -> bool {
        self.state().vanished.as_deref() != Some(object.as_ref())
    }

    /// Whether `object`, which is about to be stored, was listed without existing. From now on it exists.
    pub(super) fn is_stored_again(&self, object: &Path) -> bool {
        self.state().vanished.take_if(|vanished| vanished == object.as_ref()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
