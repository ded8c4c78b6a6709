//! The outcome of a call that changes what is stored, and the error of an injected fault.

use std::{error::Error as StdError, fmt, io};

use object_store::{Error, Result};

use super::faults::Faults;

/// What to do about an [`Injected`] error: messages must not lose it.
pub(crate) const HINT: &str = "remove the injected fault";

/// The reason of an injected failure.
#[derive(Debug, Default)]
pub(super) struct Injected(Option<io::Error>);

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this is an injected failure")
    }
}

impl StdError for Injected {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}

/// Returns the error of an injected failure.
pub(super) fn injected() -> Error {
    Error::Generic { store: "faulty", source: Box::<Injected>::default() }
}

/// Returns the error of a full storage.
pub(super) fn full() -> Error {
    let source = Injected(Some(io::ErrorKind::StorageFull.into()));
    Error::Generic { store: "faulty", source: Box::new(source) }
}

/// Returns the hint of an error, if it was injected.
pub(super) fn hint(error: &(dyn StdError + 'static)) -> Option<String> {
    error.is::<Injected>().then(|| HINT.to_owned())
}

/// The outcome of a writing call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Perform,
    Refuse,
    PerformAndFail,
    Hang,
    PerformAndHang,
}

/// The outcome that a fault determines.
#[derive(Debug)]
pub(super) struct Effect {
    act: Act,
    faults: Faults,
}

impl Effect {
    pub(super) fn new(act: Act, faults: &Faults) -> Self {
        Self { act, faults: faults.clone() }
    }

    /// Whether the call changes what is stored, whatever the caller receives.
    pub(super) fn performs(&self) -> bool {
        !matches!(self.act, Act::Refuse | Act::Hang)
    }

    /// Returns an error, or never returns, if the call must not change anything.
    pub(super) async fn begin(&self) -> Result<()> {
        match self.act {
            Act::Refuse => Err(injected()),
            Act::Hang => self.faults.hang().await,
            Act::Perform | Act::PerformAndFail | Act::PerformAndHang => Ok(()),
        }
    }

    /// Returns what the caller receives after the call has succeeded.
    pub(super) async fn reply<T: Send>(&self, result: T) -> Result<T> {
        match self.act {
            Act::PerformAndFail => Err(injected()),
            Act::PerformAndHang => self.faults.hang().await,
            Act::Perform | Act::Refuse | Act::Hang => Ok(result),
        }
    }
}
