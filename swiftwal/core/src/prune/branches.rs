//! Divides the backups among the branches. Only a person knows on which branch the production server is, so the
//! requested number is kept on each.

use std::{cmp::Reverse, num::NonZeroU32};

use swiftwal_postgres::Timeline;

use crate::repository::{
    inventory::{Inventory, StoredBackup},
    key::BackupKey,
    record::BackupRecord,
    timelines::{ListedBackup, Timelines},
};

/// The end of a timeline, with the backups that lead there and to no earlier branch in the list.
#[derive(Debug)]
pub(super) struct BranchBackups {
    pub(super) tip: Timeline,
    /// Newest first.
    keys: Vec<BackupKey>,
}

/// Divides the backups among the branches. The first branch is the one that the newest backup leads to.
pub(super) fn by_branch(timelines: &Timelines) -> Vec<BranchBackups> {
    let main = timelines.main_tip();
    let mut tips = timelines.tips();
    tips.sort_by_key(|tip| (main != Some(*tip), Reverse(*tip)));
    let mut branches: Vec<_> = tips.into_iter().map(|tip| BranchBackups { tip, keys: Vec::new() }).collect();
    for backup in timelines.backups.iter().rev().filter(|backup| backup.no_backup().is_none()) {
        match branches.iter_mut().find(|branch| leads_to(timelines, backup, branch.tip)) {
            Some(branch) => branch.keys.push(backup.key),
            // Its position is unknown, or histories contradict each other: that is no reason to remove it.
            None => {
                let tip = backup.position.map_or(Timeline::FIRST, |position| position.timeline);
                branches.push(BranchBackups { tip, keys: vec![backup.key] });
            }
        }
    }
    branches
}

/// Whether recovery from `backup` can reach the end of `tip`, as far as is known.
fn leads_to(timelines: &Timelines, backup: &ListedBackup, tip: Timeline) -> bool {
    backup.position.is_none_or(|position| timelines.leads_to(position, tip))
}

impl BranchBackups {
    /// Returns the newest backups up to the requested number of those that count, and those between them that don't. One
    /// with damaged pages counts only if there is none without.
    pub(super) fn newest(
        &self,
        inventory: &Inventory,
        timelines: &Timelines,
        count: NonZeroU32,
    ) -> Vec<BackupKey> {
        let stored = |key: &BackupKey| inventory.backups.iter().find(|backup| backup.key == *key);
        let counts = |key: &BackupKey| stored(key).is_some_and(counts);
        let is_clean = |key: &BackupKey| damaged_pages(timelines, *key) == 0;
        let any_clean = self.keys.iter().any(|key| counts(key) && is_clean(key));
        let mut missing = count.get();
        let mut is_wanted = |key: &&BackupKey| {
            let wanted = missing > 0;
            missing = missing.saturating_sub(u32::from(counts(key) && (is_clean(key) || !any_clean)));
            wanted
        };
        self.keys.iter().take_while(|key| is_wanted(key)).copied().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns a notice that backups are kept for another branch than the first, with the command to discard that
    /// branch.
    pub(super) fn kept_notice(&self, timelines: &Timelines, kept: &[BackupKey]) -> String {
        let records: Vec<_> = kept.iter().map(|key| BackupRecord::object_name(*key).to_string()).collect();
        let tip = self.tip;
        let discard = if timelines.children(tip).next().is_none() && tip != Timeline::FIRST {
            format!(", and then: swiftwal timeline discard {tip}")
        } else {
            String::new()
        };
        format!(
            "{branch} is another branch, so the same number of backups is kept on it. If that branch is no longer needed, \
             delete {records}; the next prune removes the rest{discard}",
            branch = timelines.branch(tip),
            records = records.join(", "),
        )
    }
}

/// Returns the number of pages that were damaged when a backup was taken, as far as its record can be read.
pub(super) fn damaged_pages(timelines: &Timelines, key: BackupKey) -> u64 {
    let listed = timelines.backups.iter().find(|backup| backup.key == key);
    let record = listed.and_then(ListedBackup::backup).and_then(|backup| backup.record.as_ref());
    record.map_or(0, |record| record.damaged_pages)
}

/// Whether this backup counts, so that older ones may be removed. SwiftWAL 0.2.2 gave a backup its name even if
/// pg_basebackup had failed in the middle, but then it stored no label.
pub(super) fn counts(backup: &StoredBackup) -> bool {
    !backup.legacy || backup.has_label()
}

/// Returns a notice that a backup is kept only because it leads to a timeline, with the command to discard that
/// timeline.
pub(super) fn leading_notice(timelines: &Timelines, key: BackupKey, tip: Timeline) -> String {
    format!(
        "backup {key} is kept too, with all WAL since: no newer backup leads to {branch}. If your server is on timeline {tip}, \
         take a backup there. If that timeline was a mistake, such as that of a copy that was started for a test, discard \
         it: swiftwal timeline discard {tip}",
        branch = timelines.branch(tip),
    )
}
