//! Timeline histories, from the repository.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use swiftwal_compression::decoder;
use swiftwal_postgres::{Timeline, TimelineHistory, WalName};
use tokio::io::AsyncReadExt;

use crate::{Error, Inventory, ObjectName, Repository, Result, wal_object::find};

/// No history file comes near this.
pub(crate) const HISTORY_BYTES: u64 = 1 << 20;

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
    check_history(timeline, &text, object)
}

/// A history as it must be, before it is stored and before it is believed. `place` is how an error calls it.
pub(crate) fn check_history(
    timeline: Timeline,
    text: &str,
    place: impl fmt::Display,
) -> Result<TimelineHistory> {
    let history = TimelineHistory::parse(timeline, text).map_err(|error| Error::damaged(&place, error))?;
    if history.ancestors().is_empty() && timeline != Timeline::FIRST {
        let hint = "it names no ancestor; store the right one with archive-wal --force";
        return Err(Error::damaged(place, hint));
    }
    Ok(history)
}

/// Every history that a listing shows, by timeline.
pub(crate) async fn histories(
    repository: &Repository,
    inventory: &Inventory,
) -> Result<BTreeMap<Timeline, TimelineHistory>> {
    let mut histories = BTreeMap::new();
    for wal in &inventory.wal {
        let WalName::History(timeline) = wal.name else { continue };
        if let Entry::Vacant(vacant) = histories.entry(timeline) {
            vacant.insert(history(repository, timeline).await?);
        }
    }
    Ok(histories)
}
