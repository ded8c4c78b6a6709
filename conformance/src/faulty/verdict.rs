//! What becomes of a call that changes what is stored, and the error of one that was made to go wrong.

use std::{error::Error as StdError, fmt, io};

use object_store::{Error, Result};

use super::faults::Faults;

/// What to do about an [`Injected`] error: messages must not lose it.
pub(crate) const HINT: &str = "tell it to go right";

/// Why a call failed that was told to.
#[derive(Debug, Default)]
pub(super) struct Injected(Option<io::Error>);

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it was told to go wrong here")
    }
}

impl StdError for Injected {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}

/// The error of a call that was made to go wrong.
pub(super) fn injected() -> Error {
    Error::Generic { store: "faulty", source: Box::<Injected>::default() }
}

/// The error of a storage that has no room.
pub(super) fn full() -> Error {
    let source = Injected(Some(io::ErrorKind::StorageFull.into()));
    Error::Generic { store: "faulty", source: Box::new(source) }
}

/// The hint of an error, if it was injected.
pub(super) fn hint(error: &(dyn StdError + 'static)) -> Option<String> {
    error.is::<Injected>().then(|| HINT.to_owned())
}

/// What a writing call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Perform,
    Refuse,
    PerformAndFail,
    Hang,
    PerformAndHang,
}

/// What a certain writing call does.
#[derive(Debug)]
pub(super) struct Verdict {
    act: Act,
    faults: Faults,
}

impl Verdict {
    pub(super) fn new(act: Act, faults: &Faults) -> Self {
        Self { act, faults: faults.clone() }
    }

    /// Whether it does what it should, whatever the caller gets to hear.
    pub(super) fn performs(&self) -> bool {
        !matches!(self.act, Act::Refuse | Act::Hang)
    }

    /// An error, or no answer, if nothing may be done.
    pub(super) async fn begin(&self) -> Result<()> {
        match self.act {
            Act::Refuse => Err(injected()),
            Act::Hang => self.faults.hang().await,
            Act::Perform | Act::PerformAndFail | Act::PerformAndHang => Ok(()),
        }
    }

    /// What the caller gets to hear once it was done.
    pub(super) async fn reply<T: Send>(&self, result: T) -> Result<T> {
        match self.act {
            Act::PerformAndFail => Err(injected()),
            Act::PerformAndHang => self.faults.hang().await,
            Act::Perform | Act::Refuse | Act::Hang => Ok(result),
        }
    }
}
