//! The faults of a store, and the record of the calls that it received.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::{Error, Result, path::Path};

use super::{
    pace::Pace,
    verdict::{Act, Verdict, full, injected},
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

/// A search for leftovers, in the same record.
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
    /// What it is, without what tells one name of a kind from another.
    pub(crate) fn kind(&self) -> (&'static str, String) {
        (self.action, self.object.chars().filter(|c| !c.is_ascii_hexdigit()).collect())
    }
}

/// How a writing call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// It does nothing and reports an error; later calls work.
    FailsOnce,
    /// It does nothing, and neither does any later call, including reading ones: as if the process had been killed,
    /// since nothing can be cleaned up either.
    Dies,
    /// It succeeds and reports an error: the acknowledgement was lost.
    LosesReply,
    /// It does nothing and never returns, and neither does any call after it, reading ones included.
    Hangs,
    /// It does what it should and never returns; the calls after it do nothing, and never return either.
    HangsWhenDone,
}

impl WriteFault {
    /// Every one after which a command ends by itself.
    pub(crate) const ALL: [Self; 3] = [Self::FailsOnce, Self::Dies, Self::LosesReply];
}

/// How a reading call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    /// It reports an error.
    Fails,
    /// The body ends early, without an error.
    Cut,
    /// One bit of the body is wrong.
    FlipsBit,
    /// It never returns, and neither does any call after it, writing ones included.
    Hangs,
}

impl ReadFault {
    /// Every one after which a command ends by itself.
    pub(crate) const ALL: [Self; 3] = [Self::Fails, Self::Cut, Self::FlipsBit];
}

impl Faults {
    /// No fault: calls are only recorded.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    fn with(change: impl FnOnce(&mut State)) -> Self {
        let faults = Self::default();
        change(&mut faults.state());
        faults
    }

    /// The `n`th writing call from now, counted from 1, fails.
    pub(crate) fn at_write(n: usize, fault: WriteFault) -> Self {
        Self::with(|state| state.write_fault = Some((n, fault)))
    }

    /// The `n`th reading call from now, counted from 1, fails.
    pub(crate) fn at_read(n: usize, fault: ReadFault) -> Self {
        Self::with(|state| state.read_fault = Some((n, fault)))
    }

    /// Everything works except listings, as when Swift's container servers are down.
    pub(crate) fn at_every_listing() -> Self {
        Self::with(|state| state.unlisted = true)
    }

    /// From now on listings fail.
    pub(crate) fn stop_listings(&self) {
        self.state().unlisted = true;
    }

    /// Reading `object` fails.
    pub(crate) fn unreadable(object: impl ToString) -> Self {
        Self::with(|state| state.unreadable = Some(object.to_string()))
    }

    /// Bodies come byte by byte, each when it is [given](Self::give).
    pub(crate) fn trickling() -> Self {
        Self::with(|state| state.trickles = true)
    }

    /// The first answer about `object` is held back until it is [let go](Self::let_go).
    pub(crate) fn holding(object: impl ToString) -> Self {
        Self::with(|state| state.held = Some(object.to_string()))
    }

    /// As [`at_every_listing`](Self::at_every_listing), and no object can be proven to be missing either: Swift would
    /// have to ask whether the container exists.
    pub(crate) fn at_every_absence() -> Self {
        let faults = Self::at_every_listing();
        faults.state().unproven = true;
        faults
    }

    /// Listings don't show `object`, as if they lagged behind.
    pub(crate) fn hiding(object: impl ToString) -> Self {
        Self::with(|state| state.hidden = Some(object.to_string()))
    }

    /// Listings don't show the markers of backups in progress yet.
    pub(crate) fn hiding_markers() -> Self {
        Self::with(|state| state.markers_hidden = true)
    }

    /// Listings show `object`, which isn't there any more, as where they lag behind a deletion. When it is stored again, it
    /// is there.
    pub(crate) fn vanished(object: impl ToString) -> Self {
        Self::with(|state| state.vanished = Some(object.to_string()))
    }

    /// Nothing can be stored, since there is no space: not even an object to learn the time.
    pub(crate) fn no_room() -> Self {
        Self::with(|state| state.full = true)
    }

    /// The writing calls so far, including those that failed.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.state().writes.clone()
    }

    /// What the reading calls so far requested: objects by name (complete, a range or the size), [`LISTING`], or
    /// [`SWEEP`].
    pub(crate) fn reads(&self) -> Vec<String> {
        self.state().reads.clone()
    }

    /// Returns when a call hangs.
    pub(crate) async fn hung(&self) {
        self.0.pace.hung().await;
    }

    /// Returns when the storage waits for the next byte to be given.
    pub(crate) async fn wanted(&self) {
        self.0.pace.wanted().await;
    }

    /// Gives one byte of what trickles.
    pub(crate) fn give(&self) {
        self.0.pace.give();
    }

    /// Returns when the answer is held back.
    pub(crate) async fn held(&self) {
        self.0.pace.held().await;
    }

    /// Lets the answer go that is held back.
    pub(crate) fn let_go(&self) {
        self.0.pace.let_go();
    }

    /// Whether what a process leaves open stays as it is: it was killed, or hangs.
    pub(super) fn is_dead(&self) -> bool {
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

    /// Waits for the next byte of what trickles.
    pub(super) async fn byte(&self) {
        self.0.pace.byte().await;
    }

    /// Holds the answer about `object` back, if it is to be.
    pub(super) async fn hold(&self, object: &Path) {
        let is_held = self.state().held.take_if(|held| held == object.as_ref()).is_some();
        if is_held {
            self.0.pace.hold().await;
        }
    }

    pub(super) fn write(&self, action: &'static str, object: impl ToString) -> Verdict {
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
        Verdict::new(act, self)
    }

    /// What is wrong with the body of the reading call for `what`, which begins: it may fail at once, or never return.
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

    /// Fails, or never returns, if the listing does that begins.
    pub(super) async fn list(&self) -> Result<()> {
        let fault = self.read(LISTING).await?;
        if fault.is_some() || self.is_unlisted() { Err(injected()) } else { Ok(()) }
    }

    /// Fails, or never returns, if the storage can't tell the time.
    pub(super) async fn time(&self) -> Result<()> {
        if self.state().silent { self.hang().await } else { self.room() }
    }

    /// Returns the answer in place of "not found".
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

    /// Whether `object`, which is about to be stored, is listed and gone. It is there from now on.
    pub(super) fn is_stored_again(&self, object: &Path) -> bool {
        self.state().vanished.take_if(|vanished| vanished == object.as_ref()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
