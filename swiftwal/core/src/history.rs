//! Timeline histories, from the repository.

use std::collections::{BTreeMap, btree_map::Entry};

use swiftwal_compression::decoder;
use swiftwal_postgres::{Timeline, TimelineHistory, WalName};
use tokio::io::AsyncReadExt;

use crate::{Error, Inventory, ObjectName, Repository, Result, restore_wal::find};

/// No history file comes near this.
const HISTORY_BYTES: u64 = 1 << 20;

/// The history of `timeline`. The first timeline has none, and needs none.
///
/// # Errors
/// [`Error::WalAbsent`], [`Error::Damaged`].
pub(crate) async fn history(repository: &Repository, timeline: Timeline) -> Result<TimelineHistory> {
    if timeline == Timeline::FIRST {
        return TimelineHistory::parse(timeline, "")
            .map_err(|error| Error::damaged("an empty history", error));
    }
    let name = WalName::History(timeline);
    let (format, stored) = find(repository, name).await?;
    let object = ObjectName::Wal { name, format };
    let mut text = String::new();
    let read = decoder(format, &*stored).take(HISTORY_BYTES).read_to_string(&mut text).await;
    read.map_err(|error| Error::damaged(&object, error))?;
    TimelineHistory::parse(timeline, &text).map_err(|error| Error::damaged(&object, error))
}

/// Every history that a listing shows, by timeline. One without ancestors tells nothing, and counts as missing.
pub(crate) async fn histories(
    repository: &Repository,
    inventory: &Inventory,
) -> Result<BTreeMap<Timeline, TimelineHistory>> {
    let mut histories = BTreeMap::new();
    for wal in &inventory.wal {
        let WalName::History(timeline) = wal.name else { continue };
        if let Entry::Vacant(vacant) = histories.entry(timeline) {
            let history = history(repository, timeline).await?;
            if !history.ancestors().is_empty() {
                vacant.insert(history);
            }
        }
    }
    Ok(histories)
}
