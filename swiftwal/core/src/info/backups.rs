//! The backups: what each is, what it can be restored to, and what is known about it.

use jiff::Timestamp;

use super::{
    continuity::Way,
    report::{BackupInfo, Kept, RestoreForecast},
    windows::{Reach, is_only_itself, reach},
};
use crate::repository::{
    backup_tree::BackupTree,
    inventory::{Inventory, StoredBackup},
    key::BackupKey,
    pin::Pins,
    proof::{Proofs, Verdict},
    record::BackupRecord,
    timelines::{Content, ListedBackup, Timelines},
};

/// What is known about the backups.
pub(super) struct Backups<'a> {
    pub(super) inventory: &'a Inventory,
    pub(super) timelines: &'a Timelines,
    pub(super) tree: &'a BackupTree,
    pub(super) pins: &'a Pins,
    pub(super) proofs: &'a Proofs,
    /// The way to the end of the timeline that recovery follows.
    pub(super) way: Option<&'a Way>,
    /// The storage's time.
    pub(super) now: Timestamp,
}

impl<'a> Backups<'a> {
    /// Describes every backup, as a tree.
    pub(super) fn describe_all(&self) -> Vec<BackupInfo> {
        let stored =
            self.tree.in_order().into_iter().filter_map(|(place, _)| self.inventory.backups.get(place));
        stored.map(|stored| self.describe(stored)).collect()
    }

    /// Returns the backups that can be restored, in the order in which they are in the WAL, with what recovery from each
    /// reaches on the way.
    pub(super) fn restorable(&self) -> Vec<(&'a BackupRecord, Reach)> {
        let backups = self.timelines.backups.iter();
        let restorable = backups.filter_map(|backup| {
            let (record, reach) = self.reach(backup)?;
            self.problem(self.stored(backup.key)?, backup).is_none().then_some((record, reach))
        });
        restorable.collect()
    }

    fn describe(&self, stored: &StoredBackup) -> BackupInfo {
        let key = stored.key;
        let listed = self.timelines.backups.iter().find(|backup| backup.key == key);
        let record = listed.and_then(record_of);
        let reach = listed.and_then(|listed| self.reach(listed));
        BackupInfo {
            key,
            legacy: stored.legacy,
            kind: record.map(|record| record.kind),
            chain: self.tree.chain(key),
            label: record.map(|record| record.label.clone()),
            started: record.map(|record| record.started),
            finished: record.map(|record| record.finished),
            seconds: record.map(|record| record.finished.duration_since(record.started).as_secs()),
            data_bytes: record.map(data_bytes),
            stored_bytes: stored.stored_bytes(),
            postgres_version: record.map(|record| record.postgres_version.clone()),
            timeline: record.map(|record| record.timeline),
            first_wal: record.map(|record| record.first_wal),
            last_wal: record.map(|record| record.last_wal),
            includes_wal: record.map(|record| record.includes_wal),
            damaged_pages: record.map(|record| record.damaged_pages),
            only_itself: self
                .way
                .zip(reach)
                .is_some_and(|(way, (record, reach))| is_only_itself(way, record, reach)),
            kept: self.kept(key),
            last_proof: self.proofs.last(key).cloned(),
            problem: listed.and_then(|listed| self.problem(stored, listed)),
        }
    }

    fn stored(&self, key: BackupKey) -> Option<&'a StoredBackup> {
        self.inventory.backups.iter().find(|stored| stored.key == key)
    }

    /// Returns how far recovery from a backup can go on the way. None if it doesn't lead there.
    fn reach(&self, backup: &'a ListedBackup) -> Option<(&'a BackupRecord, Reach)> {
        let (record, way) = (record_of(backup)?, self.way?);
        let leads_there = self.timelines.leads_to(backup.position?, way.timeline());
        leads_there.then(|| (record, reach(way, record)))
    }

    /// Returns why a backup can't be restored, as far as a listing and the proofs show it.
    fn problem(&self, stored: &StoredBackup, listed: &'a ListedBackup) -> Option<String> {
        let key = stored.key;
        match &listed.content {
            Content::Unreadable(error) => return Some(error.in_full()),
            Content::NoBackup(reason) => return Some(reason.clone()),
            Content::Backup(_) => {}
        }
        if stored.main_object().is_none() {
            return Some(format!(
                "its data, pg_basebackup_{key}.tar and the ending of its compression, is missing"
            ));
        }
        if let Some(missing) = self.tree.missing(key) {
            return Some(format!("backup {missing}, on which it builds, is missing"));
        }
        if let Some((record, Reach::Nowhere)) = self.reach(listed) {
            let (first, last) = (record.first_wal, record.last_wal);
            return Some(format!(
                "WAL between {first} and {last}, which it needs to become consistent, is missing"
            ));
        }
        let chain = self.tree.chain(key);
        let failed = chain.iter().find(|key| self.proofs.verdict(**key) == Some(Verdict::Failed))?;
        Some(match *failed == key {
            true => "its last verify or drill failed".to_owned(),
            false => format!("the last verify or drill of backup {failed}, on which it builds, failed"),
        })
    }

    fn kept(&self, key: BackupKey) -> Option<Kept> {
        match self.pins.get(key) {
            Some(pin) => Some(Kept {
                since: Some(pin.since),
                until: pin.until,
                reason: pin.reason.clone(),
                expired: pin.has_expired(self.now),
            }),
            None if self.pins.keep(key, self.now) => {
                Some(Kept { since: None, until: None, reason: None, expired: false })
            }
            None => None,
        }
    }
}

fn record_of(backup: &ListedBackup) -> Option<&BackupRecord> {
    backup.backup()?.record.as_ref()
}

fn data_bytes(record: &BackupRecord) -> u64 {
    record.objects.iter().filter_map(|object| object.tar_bytes).sum()
}

/// Returns how long a restore of the backup `newest` will take: as long as in the last drill that measured it, times the
/// ratio of the sizes of the two chains. None if there was no drill, or its backup's records can't be read.
pub(super) fn forecast(
    newest: &BackupRecord,
    proofs: &Proofs,
    records: &[&BackupRecord],
    tree: &BackupTree,
) -> Option<RestoreForecast> {
    let (drilled, drilled_at, seconds) = proofs.last_recovery()?;
    let bytes = |key| {
        let sizes = tree.chain(key).into_iter().map(|key| {
            let record = records.iter().find(|record| record.key == key)?;
            Some(data_bytes(record))
        });
        sizes.sum::<Option<u64>>().filter(|bytes| *bytes > 0)
    };
    let ratio = bytes(newest.key)? as f64 / bytes(drilled)? as f64;
    Some(RestoreForecast { backup: newest.key, seconds: seconds * ratio, drilled, drilled_at })
}
