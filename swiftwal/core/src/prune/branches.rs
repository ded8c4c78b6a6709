//! Divides the backups among the branches. Only a person knows on which branch the production server is, so the rules
//! apply to each.

use std::cmp::Reverse;

use jiff::{SignedDuration, Timestamp};
use swiftwal_postgres::Timeline;

use super::{chains::Chains, kept_for::Reasons, retention::Candidate};
use crate::repository::{
    inventory::{Inventory, StoredBackup},
    key::BackupKey,
    proof::Proofs,
    record::BackupRecord,
    timelines::{ListedBackup, Timelines},
};

/// The time after its start at which a backup counts as ended, if nothing readable shows its end: one of SwiftWAL 0.2.2, and
/// one with a damaged commit record.
const LONGEST_BACKUP: SignedDuration = SignedDuration::from_hours(24);

/// What is known about all backups.
#[derive(Debug)]
pub(super) struct KnownBackups<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) timelines: &'a Timelines,
    pub(super) chains: &'a Chains,
    pub(super) proofs: &'a Proofs,
}

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
    /// Returns the backups as the rules see them, newest first. A backup with damaged pages counts only if there is none
    /// without.
    pub(super) fn candidates(&self, known: &KnownBackups<'_>) -> Vec<Candidate> {
        let counts = |key: BackupKey| {
            known.inventory.backups.iter().find(|backup| backup.key == key).is_some_and(counts)
        };
        let any_clean = self.keys.iter().any(|key| counts(*key) && known.chains.is_clean(*key));
        let candidate = |key: &BackupKey| {
            let finished = known.timelines.record_of(*key).map(|record| record.finished);
            Candidate {
                key: *key,
                root: known.chains.root(*key),
                ended: finished.unwrap_or(key.time()),
                ended_by: finished
                    .unwrap_or(key.time().checked_add(LONGEST_BACKUP).unwrap_or(Timestamp::MAX)),
                counts: counts(*key) && (known.chains.is_clean(*key) || !any_clean),
                is_proven: known.proofs.is_proven(*key),
            }
        };
        self.keys.iter().map(candidate).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns a notice that backups are kept for another branch than the first, with the command to discard that
    /// branch.
    pub(super) fn kept_notice(&self, timelines: &Timelines, kept: &Reasons) -> String {
        let records: Vec<_> = kept.keys().map(|key| BackupRecord::object_name(key).to_string()).collect();
        let tip = self.tip;
        let discard = if timelines.children(tip).next().is_none() && tip != Timeline::FIRST {
            format!(", and then: swiftwal timeline discard {tip}")
        } else {
            String::new()
        };
        format!(
            "{branch} is another branch, so the same rules keep backups on it. If that branch is no longer needed, \
             delete {records}; the next prune removes the rest{discard}",
            branch = timelines.branch(tip),
            records = records.join(", "),
        )
    }
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
