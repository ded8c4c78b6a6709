//! Reads everything that a prune depends on: the inventory, the leftovers of uploads, and the age of markers.

use jiff::Timestamp;
use object_store::ObjectMeta;

use crate::{
    error::Result,
    repository::{
        Repository,
        clocks::{Liveness, limit},
        inventory::Inventory,
        layout::ObjectName,
    },
};

/// The stored objects and leftovers, and the time from which on an upload counts as running.
#[derive(Debug)]
pub(super) struct StoredState {
    pub(super) inventory: Inventory,
    /// The leftovers of crashed uploads that no listing shows.
    pub(super) swept: Vec<String>,
    pub(super) liveness: Liveness,
}

/// Reads everything that a prune depends on.
///
/// # Errors
///
/// Those of the storage.
pub(super) async fn read_stored_state(repository: &Repository) -> Result<StoredState> {
    let time = repository.storage_now_compared().await;
    let beside = leftovers_beside_the_listing(repository, time.as_ref().ok().map(|(now, _)| *now));
    let (mut inventory, beside) = tokio::try_join!(repository.inventory_with_every_record(), beside)?;
    let liveness = repository.liveness_at(time, &inventory);
    let mut swept = match beside {
        Some(swept) => swept,
        None => leftovers(repository, liveness.before, std::mem::take(&mut inventory.long)).await?,
    };
    swept.retain(|name| !is_of_live_backup(&inventory, liveness.before, name));
    Ok(StoredState { inventory, swept, liveness })
}

/// Whether the upload `name` belongs to a backup whose marker shows that it is running. Such a backup may write nothing
/// to an upload for long: the index of a few large tables grows slowly.
fn is_of_live_backup(inventory: &Inventory, before: Timestamp, name: &str) -> bool {
    // A backend's name of an upload contains the name of its object, between the repository's prefix and an id.
    let keys = name.split(['/', '#']).filter_map(|part| match ObjectName::parse(part) {
        ObjectName::Backup { key, .. } => Some(key),
        _ => None,
    });
    let is_running =
        |key| inventory.markers.iter().any(|marker| marker.key == key && marker.touched > before);
    keys.into_iter().any(is_running)
}

/// Returns the leftovers if the sweep needs no listing: in a directory, looking for them takes as long as a listing.
async fn leftovers_beside_the_listing(
    repository: &Repository,
    now: Option<Timestamp>,
) -> Result<Option<Vec<String>>> {
    let wants_listed = repository.storage().sweeper().is_some_and(|sweeper| sweeper.wants_listed());
    match now {
        Some(now) if !wants_listed => leftovers(repository, limit(now), Vec::new()).await.map(Some),
        _ => Ok(None),
    }
}

/// Returns the leftovers of crashed uploads that no listing shows.
async fn leftovers(
    repository: &Repository,
    before: Timestamp,
    listed: Vec<ObjectMeta>,
) -> Result<Vec<String>> {
    let Some(sweeper) = repository.storage().sweeper() else { return Ok(Vec::new()) };
    let found = sweeper.leftovers(before, listed).await;
    found.map_err(repository.failed("look for", "leftovers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_running_backup_uploads_is_no_leftover_however_long_it_wrote_nothing_there() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut builder = Inventory::builder();
        builder.add("...uploading/20130828T1810Z/4d2e", 1, at(100));
        let inventory = builder.finish();
        let is_live = |before, name: &str| is_of_live_backup(&inventory, at(before), name);
        assert!(is_live(99, "pg_basebackup_20130828T1810Z.index.zst#1"));
        assert!(!is_live(100, "pg_basebackup_20130828T1810Z.index.zst#1"));
        assert!(!is_live(99, "pg_basebackup_20130828T181042Z.index.zst#1"));
        let of_swift = |object| format!("of-20130828T1810Z/{object}/upload-{}", "0".repeat(32));
        assert!(is_live(99, &of_swift("pg_basebackup_20130828T1810Z.16384.tar.zst")));
        assert!(!is_live(99, &of_swift("pg_basebackup_20130829T1810Z.tar.zst")));
    }
}
