//! The promises of the file backend in addition to those of every store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod absence;
mod deletion;
mod full;
mod kill;
mod names;
mod opening;
mod sweeping;

use std::path::Path;

use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path as Location};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use swiftwal_backends::registry;
use swiftwal_core::{OpenError, Options, Storage};
use url::Url;

fn try_open(dir: &Path, create: bool) -> Result<Storage, OpenError> {
    let location = Url::from_file_path(dir).unwrap();
    registry().open(&location, &Options { create, ..Options::default() })
}

fn open(dir: &Path) -> Storage {
    try_open(dir, true).unwrap()
}

/// Returns every name that the store lists, sorted.
async fn listed(store: &dyn ObjectStore) -> Vec<Location> {
    let mut names: Vec<_> = store.list(None).map_ok(|object| object.location).try_collect().await.unwrap();
    names.sort();
    names
}

/// Removes the privilege to ignore file modes from this thread and those that it starts, so that a test run by root
/// behaves as for any other user.
fn obey_file_modes() {
    let held = capabilities(None).unwrap();
    let effective = held.effective - CapabilitySet::DAC_OVERRIDE - CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, CapabilitySets { effective, ..held }).unwrap();
}
