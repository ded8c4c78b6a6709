//! The plan of a prune: which objects it keeps and which it removes. `prune.rs` carries it out.

use std::{cmp::Reverse, collections::BTreeSet};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use swiftwal_postgres::{SegmentName, WalName};

use super::{chains::Chains, kept_for::Reasons};
use crate::{
    error::{Error, Refusal},
    repository::{
        inventory::{Inventory, StoredBackup, StoredWal},
        key::BackupKey,
        layout::ObjectName,
        legacy,
        needs::Needs,
        running::Considered,
        wal_removal::stale_wal_marks,
    },
};

/// What pruning removes and keeps.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PrunePlan {
    /// The backups to be removed, oldest first.
    pub remove_backups: Vec<BackupKey>,
    /// The backups to be kept, oldest first.
    pub keep_backups: Vec<BackupKey>,
    /// What each of them is kept for.
    pub kept_for: Reasons,
    /// Those of them that can be restored only to their own end, since they keep only the WAL from their start to their stop.
    pub only_themselves: BTreeSet<BackupKey>,
    /// The WAL files to be removed, sorted by name.
    pub remove_wal: Vec<StoredWal>,
    /// The WAL files to be kept, sorted by name.
    pub keep_wal: Vec<StoredWal>,
    /// The leftovers of crashed uploads and interrupted deletions, to be removed.
    pub leftovers: Vec<String>,
    /// Notices for the administrator.
    pub notices: Vec<String>,
    /// Why no WAL is removed. None unless there is no backup.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_message")]
    pub refused: Option<Refusal>,
    /// An incremental backup before its parent.
    #[serde(skip)]
    pub(super) to_delete: Vec<StoredBackup>,
    #[serde(skip)]
    pub(super) abandoned_uploads: Vec<AbandonedUpload>,
    #[serde(skip)]
    pub(super) legacy_uploads: Vec<legacy::AbandonedUpload>,
    /// The deletions that SwiftWAL 0.2.2 has begun.
    #[serde(skip)]
    pub(super) legacy_deletions: Vec<(BackupKey, ObjectName)>,
    /// Marks of removals that have ended, and when each was written.
    #[serde(skip)]
    pub(super) stale_marks: Vec<(ObjectName, Timestamp)>,
    /// The leftovers that only the backend finds.
    #[serde(skip)]
    pub(super) swept: Vec<String>,
    /// The backups that the plan takes into account. An upload that was touched later than its `before` is running.
    #[serde(skip)]
    pub(super) considered: Considered,
}

/// The leftovers of a backup that was never committed, or whose deletion was interrupted.
#[derive(Clone, Debug)]
pub(super) struct AbandonedUpload {
    pub(super) key: BackupKey,
    pub(super) objects: Vec<ObjectName>,
    pub(super) markers: Vec<ObjectName>,
    /// Whether this program has begun to delete it.
    pub(super) deleting: bool,
}

impl AbandonedUpload {
    /// Returns the mark of its deletion, if that has begun.
    pub(super) fn mark(&self) -> Option<ObjectName> {
        self.deleting.then_some(ObjectName::Deleting(self.key))
    }
}

/// The input of a plan, apart from the inventory.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) keep_backups: Vec<BackupKey>,
    pub(super) kept_for: Reasons,
    pub(super) only_themselves: BTreeSet<BackupKey>,
    pub(super) chains: Chains,
    pub(super) needs: Needs,
    pub(super) keep_wals: u32,
    pub(super) other: OtherFacts,
}

/// The input of a plan apart from backups and WAL.
#[derive(Debug)]
pub(super) struct OtherFacts {
    /// The storage's time.
    pub(super) now: Timestamp,
    /// An upload that was touched later than this is running.
    pub(super) before: Timestamp,
    /// The leftovers that only the backend finds.
    pub(super) swept: Vec<String>,
    pub(super) notices: Vec<String>,
}

impl PrunePlan {
    pub(super) fn new(inventory: Inventory, facts: Facts) -> Self {
        let Facts { keep_backups, kept_for, only_themselves, chains, needs, keep_wals, other } = facts;
        let OtherFacts { now, before, swept, mut notices } = other;
        notices.extend(needs.notices());
        notices.extend(inventory.legacy_notices(before));
        let abandoned_uploads = abandoned_uploads(&inventory, before);
        let legacy_uploads = inventory.abandoned_legacy_uploads(before);
        let legacy_deletions = inventory.legacy.deletions();
        let oldest_of_newest = oldest_of_newest(&inventory.wal, keep_wals);
        let (keep_wal, remove_wal): (Vec<_>, _) = inventory.wal.iter().copied().partition(|wal| {
            needs.includes(wal.name) || oldest_of_newest.is_some_and(|oldest| wal.name >= oldest)
        });
        let stale_marks = stale_marks(&inventory, &keep_backups, &keep_wal, before);
        notices.extend(marked_notices(&inventory, &keep_backups, before));
        let of_uploads = |upload: &AbandonedUpload| {
            let objects = upload.objects.iter().chain(&upload.markers).cloned();
            objects.chain(upload.mark()).collect::<Vec<_>>()
        };
        let objects = abandoned_uploads.iter().flat_map(of_uploads);
        let legacy = legacy_uploads.iter().flat_map(legacy::AbandonedUpload::names).cloned();
        let stale = stale_marks.iter().map(|(mark, _)| mark);
        let marks = legacy_deletions.iter().map(|(_, mark)| mark).chain(stale).cloned();
        let objects = objects.chain(legacy).chain(marks);
        let leftovers = objects.map(|name| name.to_string()).chain(swept.iter().cloned()).collect();
        let mut to_delete: Vec<_> =
            inventory.backups.into_iter().filter(|backup| !keep_backups.contains(&backup.key)).collect();
        let remove_backups: Vec<_> = to_delete.iter().map(|backup| backup.key).collect();
        let known = [&keep_backups[..], &remove_backups].concat();
        to_delete.sort_by_key(|backup| Reverse(chains.depth(backup.key)));
        Self {
            remove_backups,
            keep_backups,
            kept_for,
            only_themselves,
            remove_wal,
            keep_wal,
            leftovers,
            notices,
            refused: None,
            to_delete,
            abandoned_uploads,
            legacy_uploads,
            legacy_deletions,
            stale_marks,
            swept,
            considered: Considered { known, now, before },
        }
    }

    /// Whether anything is removed.
    #[must_use]
    pub fn removes_something(&self) -> bool {
        !(self.to_delete.is_empty() && self.leftovers.is_empty() && self.remove_wal.is_empty())
    }

    /// Creates the plan for a repository without backups: only the leftovers of crashed uploads are removed.
    pub(super) fn without_backups(location: &str, inventory: Inventory, other: OtherFacts) -> Self {
        let (keep_backups, kept_for, chains) = (Vec::new(), Reasons::default(), Chains::default());
        let facts = Facts {
            keep_backups,
            kept_for,
            only_themselves: BTreeSet::new(),
            chains,
            needs: Needs::everything(),
            keep_wals: 0,
            other,
        };
        let refused = Refusal::NoBackup { location: location.to_owned() };
        Self { refused: Some(refused), ..Self::new(inventory, facts) }
    }
}

fn as_message<S: Serializer>(refused: &Option<Refusal>, serializer: S) -> Result<S::Ok, S::Error> {
    let message = refused.clone().map(|refused| Error::from(refused).in_full());
    message.serialize(serializer)
}

/// Returns the oldest of the `count` newest segments. All files of the segments from there on are kept.
fn oldest_of_newest(wal: &[StoredWal], count: u32) -> Option<WalName> {
    let names = wal.iter().rev().map(|wal| wal.name).filter(|name| matches!(name, WalName::Segment(_)));
    let mut newer = None;
    // One name may exist in several compressions.
    let distinct = names.filter(|name| newer.replace(*name) != Some(*name));
    distinct.take(usize::try_from(count).unwrap_or(usize::MAX)).last()
}

/// Returns the objects that belong to no backup and to no running process.
fn abandoned_uploads(inventory: &Inventory, before: Timestamp) -> Vec<AbandonedUpload> {
    let marked = inventory.markers.iter().map(|marker| marker.key);
    let uncommitted = inventory.uncommitted.keys().copied();
    let deleting = inventory.deleting.keys().copied();
    let keys: BTreeSet<_> = uncommitted.chain(marked).chain(deleting).collect();
    keys.into_iter().filter_map(|key| abandoned_upload(inventory, key, before)).collect()
}

/// Returns the leftovers of `key`, if no process is working on it: its deletion was begun, or all of them are old.
fn abandoned_upload(inventory: &Inventory, key: BackupKey, before: Timestamp) -> Option<AbandonedUpload> {
    let markers = || inventory.markers.iter().filter(|marker| marker.key == key);
    let uncommitted = inventory.uncommitted.get(&key);
    let is_young = uncommitted.is_some_and(|found| found.touched > before);
    // The mark of a backup that exists is another prune's, which may be running.
    let exists = inventory.backups.iter().any(|backup| backup.key == key);
    let deleting = inventory.deleting.contains_key(&key) && !exists;
    // If SwiftWAL 0.2.2 has begun to delete it, that deletion is finished first.
    let is_old = deleting || (!is_young && !inventory.legacy.is_being_deleted(key));
    if markers().any(|marker| marker.touched > before) || !is_old {
        return None;
    }
    let objects = uncommitted.into_iter().flat_map(|found| &found.objects).map(|object| object.name.clone());
    Some(AbandonedUpload {
        key,
        objects: objects.collect(),
        markers: markers().map(|marker| marker.name.clone()).collect(),
        deleting,
    })
}

/// Returns the marks that no running command relies on: those of the deletion of backups that are kept, if they are a day
/// old, and those of the removal of WAL, if they are that old or all of that WAL is gone after this prune. The records of gaps
/// with no WAL before them are among them.
fn stale_marks(
    inventory: &Inventory,
    keep_backups: &[BackupKey],
    keep_wal: &[StoredWal],
    before: Timestamp,
) -> Vec<(ObjectName, Timestamp)> {
    let is_kept = |key: &BackupKey| keep_backups.contains(key);
    let of_backups = inventory.deleting.iter().filter(|(key, marked)| is_kept(key) && **marked <= before);
    let of_wal = stale_wal_marks(&inventory.removing_wal, keep_wal, before);
    let has_wal_before = |gap: SegmentName| {
        let mut segments = keep_wal.iter().filter_map(|wal| wal.name.segment());
        segments.any(|segment| segment.position() < gap.position())
    };
    let gaps = inventory.gaps.iter().filter(|(first, _)| !has_wal_before(*first));
    let gaps = gaps.map(|(first, recorded)| (ObjectName::Gap(*first), *recorded));
    let of_backups = of_backups.map(|(key, marked)| (ObjectName::Deleting(*key), *marked));
    of_backups.chain(of_wal).chain(gaps).collect()
}

/// Returns notices of backups that are kept although they are marked for deletion.
fn marked_notices(inventory: &Inventory, keep_backups: &[BackupKey], before: Timestamp) -> Vec<String> {
    let is_marked = |key: &BackupKey| inventory.deleting.get(key).is_some_and(|marked| *marked > before);
    let notice = |key: &BackupKey| {
        format!(
            "backup {key} is kept, but marked for deletion: another prune, which was to delete it, is running, was interrupted, \
             or stopped because a backup had begun on it. Nothing needs to be done: a later prune removes the mark, {}, when it \
             is 24 hours old. Until then no incremental backup can build on this one, but a full one can be taken",
            ObjectName::Deleting(*key)
        )
    };
    keep_backups.iter().filter(|key| is_marked(key)).map(notice).collect()
}
