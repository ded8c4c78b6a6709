//! What there is to prune.

use futures::{
    FutureExt,
    future::{BoxFuture, ready},
};
use jiff::Timestamp;
use object_store::ObjectMeta;
use tokio::sync::oneshot;

use crate::{
    error::Result,
    repository::{
        Repository,
        clocks::{GRACE, Liveness},
        inventory::Inventory,
    },
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
    let Ok((now, _)) = time else {
        // Only the listing tells how old something must be.
        let mut inventory = repository.inventory_with_every_record().await?;
        let liveness = repository.liveness_at(time, &inventory);
        let listed = ready(std::mem::take(&mut inventory.long)).boxed();
        let swept = leftovers(repository, liveness.before, listed).await?;
        return Ok(Found { inventory, swept, liveness });
    };
    // At once, as each goes over everything that is there.
    let (tell, listed) = oneshot::channel();
    let listing = async {
        let mut inventory = repository.inventory_with_every_record().await?;
        // Nobody listens where the storage leaves nothing behind.
        let _ = tell.send(std::mem::take(&mut inventory.long));
        Ok(inventory)
    };
    let listed = listed.map(Result::unwrap_or_default).boxed();
    let (inventory, swept) = tokio::try_join!(listing, leftovers(repository, now - GRACE, listed))?;
    let liveness = repository.liveness_at(time, &inventory);
    Ok(Found { inventory, swept, liveness })
}

/// The leftovers of crashed uploads that no listing shows.
async fn leftovers(
    repository: &Repository,
    before: Timestamp,
    listed: BoxFuture<'_, Vec<ObjectMeta>>,
) -> Result<Vec<String>> {
    let Some(sweeper) = repository.storage().sweeper() else { return Ok(Vec::new()) };
    let found = sweeper.leftovers_beside(before, listed).await;
    found.map_err(repository.failed("look for", "leftovers"))
}
