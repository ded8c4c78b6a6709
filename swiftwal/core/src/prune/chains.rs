//! The chains of the stored backups: a full backup, and the incremental ones that build on it or on each other.

use std::collections::BTreeMap;

use crate::repository::{
    key::BackupKey,
    record::BackupRecord,
    timelines::{ListedBackup, Timelines},
};

/// The chains of the stored backups, as far as their records can be read.
#[derive(Debug, Default)]
pub(super) struct Chains {
    links: BTreeMap<BackupKey, Link>,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    parent: Option<BackupKey>,
    damaged_pages: u64,
}

impl Chains {
    pub(super) fn of(timelines: &Timelines) -> Self {
        let records = timelines.backups.iter().filter_map(|listed| record(listed));
        let link = |record: &BackupRecord| {
            (record.key, Link { parent: record.parent, damaged_pages: record.damaged_pages })
        };
        Self { links: records.map(link).collect() }
    }

    /// Returns the full backup that `key` builds on in the end: `key` itself, if it is full. If a parent is missing, it is
    /// that.
    pub(super) fn root(&self, key: BackupKey) -> BackupKey {
        self.ancestors(key).last().unwrap_or(key)
    }

    /// Returns how many backups `key` builds on.
    pub(super) fn depth(&self, key: BackupKey) -> usize {
        self.ancestors(key).count()
    }

    /// Whether no page of the backup is known to be damaged, including those that it takes from its ancestors.
    pub(super) fn is_clean(&self, key: BackupKey) -> bool {
        let is_damaged = |key| self.links.get(&key).is_some_and(|link| link.damaged_pages > 0);
        !std::iter::once(key).chain(self.ancestors(key)).any(is_damaged)
    }

    /// Returns the parent, its parent, and so on, to the full backup or a missing one.
    fn ancestors(&self, key: BackupKey) -> impl Iterator<Item = BackupKey> {
        let parent = |key: &BackupKey| self.links.get(key).and_then(|link| link.parent);
        // Records that contradict each other may form a circle.
        std::iter::successors(parent(&key), parent).take(self.links.len())
    }
}

fn record(listed: &ListedBackup) -> Option<&BackupRecord> {
    listed.backup().and_then(|backup| backup.record.as_ref())
}
