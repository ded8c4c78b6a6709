//! The backups in progress, for commands that delete: a backup in progress needs WAL, and perhaps a parent.
//!
//! A command that deletes makes a plan, and a backup may begin after that. So each side first writes and then looks. The
//! command marks what it is going to delete, and then looks for backups that have [begun since](begun_since). A backup writes
//! its marker, and then looks for marks. At least one of the two finds the other.

use jiff::Timestamp;
use swiftwal_postgres::{Lsn, SegmentName};

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        inventory::{Inventory, Marker, StoredBackup},
        key::BackupKey,
        layout::ObjectName,
        markers::{MarkerContent, all_markers, is_claim_object},
        record::BackupRecord,
    },
};

/// A backup in progress, according to its marker, or one that has just been committed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunningBackup {
    /// The first WAL that it needs; none if it doesn't know that yet.
    pub(crate) start: Option<(SegmentName, Lsn)>,
    /// The backup that it builds on.
    pub(crate) parent: Option<BackupKey>,
}

/// The backups that a plan takes into account.
#[derive(Clone, Debug)]
pub(crate) struct Considered {
    /// Those that existed.
    pub(crate) known: Vec<BackupKey>,
    /// The storage's time when the plan was made; if that wasn't known, an earlier one.
    pub(crate) now: Timestamp,
    /// A backup whose marker was touched later than this is in progress.
    pub(crate) before: Timestamp,
}

/// Returns the backups in progress, whose `markers` were touched later than `before`.
pub(crate) async fn in_progress(
    repository: &Repository,
    markers: &[Marker],
    before: Timestamp,
) -> Result<Vec<RunningBackup>> {
    let mut running = Vec::new();
    for marker in live(markers, before) {
        // If it no longer exists, its backup may have been committed after the markers were listed.
        running.push(read(repository, &marker.name).await?.unwrap_or_default());
    }
    Ok(running)
}

/// Returns the backups that a plan may not have taken into account: all that are in progress, and those that were committed
/// since then.
pub(crate) async fn begun_since(
    repository: &Repository,
    Considered { known, before, .. }: &Considered,
) -> Result<Vec<RunningBackup>> {
    // The markers come first. A backup is committed before its marker is removed, so one whose marker no longer exists is
    // in the inventory.
    let mut listed = Inventory::builder();
    for (name, touched) in all_markers(repository).await? {
        listed.add(&name.to_string(), 0, touched);
    }
    let mut begun = Vec::new();
    for marker in live(&listed.finish().markers, *before) {
        begun.extend(read(repository, &marker.name).await?);
    }
    let inventory = repository.inventory_with_every_record().await?;
    if inventory.has_live_legacy_upload(*before) {
        begun.push(RunningBackup::default());
    }
    let is_new = |backup: &&StoredBackup| !backup.legacy && !known.contains(&backup.key);
    for backup in inventory.backups.iter().filter(is_new) {
        match repository.record_if_there(backup.key).await {
            Ok(record) => begun.extend(record.as_ref().map(RunningBackup::of)),
            // It is set aside by a plan, too.
            Err(Error::Foreign { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(begun)
}

/// Returns the markers that were touched later than `before`. The claim object counts only as long as it is alone.
fn live(markers: &[Marker], before: Timestamp) -> impl Iterator<Item = &Marker> {
    let has_marker = |key| markers.iter().any(|marker| marker.key == key && !is_claim_object(&marker.name));
    let live = markers.iter().filter(move |marker| marker.touched > before);
    live.filter(move |marker| !(is_claim_object(&marker.name) && has_marker(marker.key)))
}

/// Reads a marker. None if it no longer exists.
async fn read(repository: &Repository, marker: &ObjectName) -> Result<Option<RunningBackup>> {
    let Some(bytes) = repository.read(marker).await? else { return Ok(None) };
    let content = serde_json::from_slice(&bytes).ok();
    Ok(Some(content.map_or_else(RunningBackup::default, |content: MarkerContent| RunningBackup {
        start: content.first_wal.zip(content.start_lsn),
        parent: content.parent,
    })))
}

impl RunningBackup {
    /// Whether it may need WAL of this timeline up to segment `last`. Recovery from it may switch to a timeline that branched
    /// off its own later.
    pub(crate) fn may_need(&self, last: SegmentName) -> bool {
        self.start.is_none_or(|(first, _)| may_lead_to(first, last))
    }

    fn of(record: &BackupRecord) -> Self {
        Self { start: Some((record.first_wal, record.start_lsn)), parent: record.parent }
    }
}

/// Whether a backup that starts in segment `first` may need segment `last`, or one before it on the same timeline.
pub(crate) fn may_lead_to(first: SegmentName, last: SegmentName) -> bool {
    first.timeline() <= last.timeline() && first.position() <= last.position()
}
