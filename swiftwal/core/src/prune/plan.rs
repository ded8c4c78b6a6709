//! The plan of a prune: which objects it keeps and which it removes. `prune.rs` carries it out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use swiftwal_postgres::WalName;

use crate::{
    error::{Error, Refusal},
    repository::{
        inventory::{Inventory, StoredBackup, StoredWal},
        key::BackupKey,
        layout::ObjectName,
        legacy,
        needs::Needs,
    },
};

/// What pruning removes and keeps.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PrunePlan {
    /// The backups to be removed, oldest first.
    pub remove_backups: Vec<BackupKey>,
    /// The backups that stay, oldest first.
    pub keep_backups: Vec<BackupKey>,
    /// The WAL files to be removed, as their names order.
    pub remove_wal: Vec<StoredWal>,
    /// The WAL files that stay, as their names order.
    pub keep_wal: Vec<StoredWal>,
    /// The leftovers of crashed uploads and interrupted deletions, to be removed.
    pub leftovers: Vec<String>,
    /// What the administrator should know.
    pub notices: Vec<String>,
    /// Why no WAL is removed, where that was refused: there is no backup.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_message")]
    pub refused: Option<Refusal>,
    #[serde(skip)]
    pub(super) doomed: Vec<StoredBackup>,
    #[serde(skip)]
    pub(super) dead_uploads: Vec<DeadUpload>,
    #[serde(skip)]
    pub(super) legacy_uploads: Vec<legacy::DeadUpload>,
    /// The deletions that SwiftWAL 0.2.2 began.
    #[serde(skip)]
    pub(super) legacy_deletions: Vec<(BackupKey, ObjectName)>,
    /// The leftovers that only the backend can see.
    #[serde(skip)]
    pub(super) swept: Vec<String>,
    /// What was touched later than this is alive.
    #[serde(skip)]
    pub(super) before: Timestamp,
}

/// What is left of a backup that was never committed, or whose deletion was interrupted.
#[derive(Clone, Debug)]
pub(super) struct DeadUpload {
    pub(super) key: BackupKey,
    pub(super) objects: Vec<ObjectName>,
    pub(super) markers: Vec<ObjectName>,
    /// Whether this program began to delete it.
    pub(super) deleting: bool,
}

/// The input of a plan, apart from the inventory.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) keep_backups: Vec<BackupKey>,
    pub(super) needs: Needs,
    pub(super) keep_wals: u32,
    pub(super) left: Left,
}

/// What there is apart from backups and WAL.
#[derive(Debug)]
pub(super) struct Left {
    /// What was touched later than this is alive.
    pub(super) before: Timestamp,
    /// The leftovers that only the backend can see.
    pub(super) swept: Vec<String>,
    pub(super) notices: Vec<String>,
}

impl PrunePlan {
    pub(super) fn new(inventory: Inventory, facts: Facts) -> Self {
        let Facts { keep_backups, needs, keep_wals, left } = facts;
        let Left { before, swept, mut notices } = left;
        notices.extend(needs.notices());
        notices.extend(inventory.legacy_notices(before));
        let dead_uploads = dead_uploads(&inventory, before);
        let legacy_uploads = inventory.dead_legacy_uploads(before);
        let legacy_deletions = inventory.legacy.deletions();
        let objects = dead_uploads.iter().flat_map(|dead| dead.objects.iter().chain(&dead.markers));
        let legacy = legacy_uploads.iter().flat_map(legacy::DeadUpload::names);
        let objects = objects.chain(legacy).chain(legacy_deletions.iter().map(|(_, sign)| sign));
        let leftovers = objects.map(ToString::to_string).chain(swept.iter().cloned()).collect();
        let oldest_of_newest = oldest_of_newest(&inventory.wal, keep_wals);
        let (keep_wal, remove_wal) = inventory.wal.into_iter().partition(|wal| {
            needs.includes(wal.name) || oldest_of_newest.is_some_and(|oldest| wal.name >= oldest)
        });
        let doomed: Vec<_> =
            inventory.backups.into_iter().filter(|backup| !keep_backups.contains(&backup.key)).collect();
        Self {
            remove_backups: doomed.iter().map(|backup| backup.key).collect(),
            keep_backups,
            remove_wal,
            keep_wal,
            leftovers,
            notices,
            refused: None,
            doomed,
            dead_uploads,
            legacy_uploads,
            legacy_deletions,
            swept,
            before,
        }
    }

    /// Whether anything goes.
    #[must_use]
    pub fn removes_something(&self) -> bool {
        !(self.doomed.is_empty() && self.leftovers.is_empty() && self.remove_wal.is_empty())
    }

    /// The plan where there is no backup: only what crashed uploads left is removed.
    pub(super) fn without_backups(location: &str, inventory: Inventory, left: Left) -> Self {
        let facts = Facts { keep_backups: Vec::new(), needs: Needs::everything(), keep_wals: 0, left };
        let refused = Refusal::NoBackup { location: location.to_owned() };
        Self { refused: Some(refused), ..Self::new(inventory, facts) }
    }
}

fn as_message<S: Serializer>(refused: &Option<Refusal>, serializer: S) -> Result<S::Ok, S::Error> {
    let message = refused.clone().map(|refused| Error::from(refused).in_full());
    message.serialize(serializer)
}

/// The oldest of the `count` newest segments; what belongs to a segment that stays, stays.
fn oldest_of_newest(wal: &[StoredWal], count: u32) -> Option<WalName> {
    let names = wal.iter().rev().map(|wal| wal.name).filter(|name| matches!(name, WalName::Segment(_)));
    let mut newer = None;
    // One name may be there in several compressions.
    let distinct = names.filter(|name| newer.replace(*name) != Some(*name));
    distinct.take(usize::try_from(count).unwrap_or(usize::MAX)).last()
}

/// The objects that belong to no backup and to no running process.
fn dead_uploads(inventory: &Inventory, before: Timestamp) -> Vec<DeadUpload> {
    let marked = inventory.markers.iter().map(|marker| marker.key);
    let uncommitted = inventory.uncommitted.keys().copied();
    let keys: BTreeSet<_> = uncommitted.chain(marked).chain(inventory.deleting.iter().copied()).collect();
    keys.into_iter().filter_map(|key| dead_upload(inventory, key, before)).collect()
}

/// The leftovers of `key`, if no process is working on it: its deletion was begun, or all of them are old.
fn dead_upload(inventory: &Inventory, key: BackupKey, before: Timestamp) -> Option<DeadUpload> {
    let markers = || inventory.markers.iter().filter(|marker| marker.key == key);
    let uncommitted = inventory.uncommitted.get(&key);
    let is_young = uncommitted.is_some_and(|found| found.touched > before);
    let deleting = inventory.deleting.contains(&key);
    // What SwiftWAL 0.2.2 began to delete is looked at when that has been finished.
    let is_old = deleting || (!is_young && !inventory.legacy.is_being_deleted(key));
    if markers().any(|marker| marker.touched > before) || !is_old {
        return None;
    }
    let objects = uncommitted.into_iter().flat_map(|found| &found.objects).map(|object| object.name.clone());
    let sign = deleting.then_some(ObjectName::Deleting(key));
    Some(DeadUpload {
        key,
        objects: objects.collect(),
        markers: markers().map(|marker| marker.name.clone()).chain(sign).collect(),
        deleting,
    })
}
