use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use object_store::path::Path;

/// What a store shall do wrong, and what it was asked to do so far. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Mutex<State>>);

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
    full: bool,
    dead: bool,
}

/// What a listing asks for, among what was [read](Faults::reads).
pub(crate) const LISTING: &str = "a listing";

/// What a look for leftovers asks for.
pub(crate) const SWEEP: &str = "a sweep";

/// A call that changes what is stored: every one that makes, completes, gives up or deletes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// What was to be done: `put`, `put_part`, `complete`, `delete`, …
    pub(crate) action: &'static str,
    /// To which object.
    pub(crate) object: String,
}

/// How a writing call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteFault {
    /// It does nothing and reports an error; the next ones work.
    FailsOnce,
    /// It does nothing, and neither does any call after it, reading ones included: as if the process had been killed,
    /// for nothing can be cleaned up either.
    Dies,
    /// It does what it should and reports an error: the acknowledgement was lost.
    LosesReply,
}

impl WriteFault {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::FailsOnce, Self::Dies, Self::LosesReply];
}

/// How a reading call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadFault {
    /// It reports an error.
    Fails,
    /// The body ends early, without an error.
    Cut,
    /// One bit of the body is wrong.
    FlipsBit,
}

impl ReadFault {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::Fails, Self::Cut, Self::FlipsBit];
}

/// What a writing call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Perform,
    Refuse,
    PerformAndFail,
}

impl Verdict {
    /// An error if nothing may be done.
    pub(super) fn begin(self) -> object_store::Result<()> {
        if self == Self::Refuse { Err(injected()) } else { Ok(()) }
    }

    /// What the caller gets to hear once it was done.
    pub(super) fn reply<T>(self, result: T) -> object_store::Result<T> {
        if self == Self::PerformAndFail { Err(injected()) } else { Ok(result) }
    }
}

impl Faults {
    /// No fault: the calls are only remembered.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// The `n`th writing call from now, counted from 1, goes wrong.
    pub(crate) fn at_write(n: usize, fault: WriteFault) -> Self {
        let faults = Self::default();
        faults.state().write_fault = Some((n, fault));
        faults
    }

    /// The `n`th reading call from now, counted from 1, goes wrong.
    pub(crate) fn at_read(n: usize, fault: ReadFault) -> Self {
        let faults = Self::default();
        faults.state().read_fault = Some((n, fault));
        faults
    }

    /// Everything works but listings, as when Swift's container servers are down.
    pub(crate) fn at_every_listing() -> Self {
        let faults = Self::default();
        faults.state().unlisted = true;
        faults
    }

    /// As [`at_every_listing`](Self::at_every_listing), and whether an object is absent can't be told either: Swift has to
    /// ask whether the container is there.
    pub(crate) fn at_every_absence() -> Self {
        let faults = Self::at_every_listing();
        faults.state().unproven = true;
        faults
    }

    /// Listings don't show `object`, as where they lag behind.
    pub(crate) fn hiding(object: impl ToString) -> Self {
        let faults = Self::default();
        faults.state().hidden = Some(object.to_string());
        faults
    }

    /// Listings don't show the markers of backups in progress yet.
    pub(crate) fn hiding_markers() -> Self {
        let faults = Self::default();
        faults.state().markers_hidden = true;
        faults
    }

    /// Listings show `object`, which isn't there any more, as where they lag behind a deletion.
    pub(crate) fn vanished(object: impl ToString) -> Self {
        let faults = Self::default();
        faults.state().vanished = Some(object.to_string());
        faults
    }

    /// Nothing can be stored for want of room: not even an object that would tell the time.
    pub(crate) fn no_room() -> Self {
        let faults = Self::default();
        faults.state().full = true;
        faults
    }

    /// The writing calls so far, those that went wrong included.
    pub(crate) fn writes(&self) -> Vec<Call> {
        self.state().writes.clone()
    }

    /// What the reading calls so far asked for: objects by name (whole, a range or the size), [`LISTING`], or [`SWEEP`].
    pub(crate) fn reads(&self) -> Vec<String> {
        self.state().reads.clone()
    }

    pub(super) fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub(super) fn write(&self, action: &'static str, object: impl ToString) -> Verdict {
        let mut state = self.state();
        state.writes.push(Call { action, object: object.to_string() });
        let n = state.writes.len();
        match state.write_fault {
            _ if state.dead => Verdict::Refuse,
            Some((at, WriteFault::FailsOnce)) if at == n => Verdict::Refuse,
            Some((at, WriteFault::LosesReply)) if at == n => Verdict::PerformAndFail,
            Some((at, WriteFault::Dies)) if at == n => {
                state.dead = true;
                Verdict::Refuse
            }
            _ => Verdict::Perform,
        }
    }

    /// What is wrong with the reading call for `what` that begins.
    pub(super) fn read(&self, what: impl ToString) -> Option<ReadFault> {
        let mut state = self.state();
        state.reads.push(what.to_string());
        let n = state.reads.len();
        match state.read_fault {
            _ if state.dead => Some(ReadFault::Fails),
            Some((at, fault)) if at == n => Some(fault),
            _ => None,
        }
    }

    /// Whether the listing that begins fails.
    pub(super) fn list(&self) -> bool {
        self.read(LISTING).is_some() || self.state().unlisted
    }

    /// What is answered where the answer is that an object is absent.
    pub(super) fn absence(&self, error: object_store::Error) -> object_store::Error {
        let is_absence = matches!(error, object_store::Error::NotFound { .. });
        if is_absence && self.state().unproven { injected() } else { error }
    }

    /// Whether listings show `object`.
    pub(super) fn shows(&self, object: &Path) -> bool {
        let state = self.state();
        let is_marker = object.as_ref().starts_with("...uploading/");
        state.hidden.as_deref() != Some(object.as_ref()) && !(state.markers_hidden && is_marker)
    }

    /// Fails where there is no room for what is to be stored.
    pub(super) fn room(&self) -> object_store::Result<()> {
        let source = Box::new(io::Error::from(io::ErrorKind::StorageFull));
        if self.state().full { Err(object_store::Error::Generic { store: "faulty", source }) } else { Ok(()) }
    }

    /// Whether `object` is still there, whatever listings show.
    pub(super) fn has(&self, object: &Path) -> bool {
        self.state().vanished.as_deref() != Some(object.as_ref())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error of a call that was made to go wrong.
pub(super) fn injected() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "it was told to go wrong here".into() }
}
