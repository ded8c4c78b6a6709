//! Reads what a prune decides on: the inventory, leftovers of uploads, and the age of markers.

use jiff::Timestamp;
use object_store::ObjectMeta;

use crate::{
    error::Result,
    repository::{Repository, clocks::Liveness, inventory::Inventory},
};

/// All that is there, and from when on it counts as alive.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) inventory: Inventory,
    /// The leftovers of crashed uploads that no listing shows.
    pub(super) swept: Vec<String>,
    pub(super) liveness: Liveness,
}

/// Reads all that is there.
///
/// # Errors
/// Those of the storage.
pub(super) async fn everything(repository: &Repository) -> Result<Found> {
    let time = repository.storage_now_compared().await;
    let mut inventory = repository.inventory_with_every_record().await?;
    let liveness = repository.liveness_at(time, &inventory);
    let swept = leftovers(repository, liveness.before, std::mem::take(&mut inventory.long)).await?;
    Ok(Found { inventory, swept, liveness })
}

/// The leftovers of crashed uploads that no listing shows.
async fn leftovers(
    repository: &Repository,
    before: Timestamp,
    listed: Vec<ObjectMeta>,
) -> Result<Vec<String>> {
    let Some(sweeper) = repository.storage().sweeper() else { return Ok(Vec::new()) };
    let found = sweeper.leftovers(before, listed).await;
    found.map_err(repository.failed("look for", "leftovers"))
}
