//! What damage means: which backups can't be restored, and which points in time can't be reached.

use std::collections::BTreeMap;

use jiff::Timestamp;
use swiftwal_postgres::{SegmentName, SegmentSize, Timeline, WalName};

use super::{
    backup::Effect,
    wal::{Hole, start_of},
};
use crate::repository::{
    backup::ChosenBackup,
    history::Histories,
    inventory::Inventory,
    key::BackupKey,
    record::BackupRecord,
    timelines::{ListedBackup, Position},
};

/// The stored backups.
#[derive(Debug, Default)]
pub(super) struct Kept {
    records: BTreeMap<BackupKey, BackupRecord>,
    /// The positions of all, also of those of SwiftWAL 0.2.2, in order.
    positions: Vec<(BackupKey, Position)>,
}

impl Kept {
    /// Takes the backups that could be read.
    pub(super) fn of(listed: &[ListedBackup]) -> Self {
        let records = listed.iter().filter_map(|backup| backup.backup()?.record.clone());
        let readable = listed.iter().filter(|backup| backup.backup().is_some());
        Self {
            records: records.map(|record| (record.key, record)).collect(),
            positions: readable.filter_map(|backup| Some((backup.key, backup.position?))).collect(),
        }
    }

    /// Returns the backup that `backup` builds on, if there is one and it is stored.
    pub(super) fn parent_of(&self, backup: &ChosenBackup) -> Option<&BackupRecord> {
        self.records.get(&backup.record.as_ref()?.parent?)
    }

    /// Returns the backups that build on `key`, directly or not.
    fn descendants(&self, key: BackupKey) -> Vec<BackupKey> {
        let mut found = vec![key];
        let mut next = 0;
        while let Some(parent) = found.get(next).copied() {
            next += 1;
            let children = self.records.values().filter(|record| record.parent == Some(parent));
            let children: Vec<_> =
                children.map(|record| record.key).filter(|key| !found.contains(key)).collect();
            found.extend(children);
        }
        found.remove(0);
        found
    }

    /// Returns what `effect` means for the backup `key`, and which backups are affected.
    pub(super) fn meaning(&self, key: BackupKey, effect: Effect) -> (String, Vec<BackupKey>) {
        let children = self.descendants(key);
        let mut affected = vec![key];
        let means = match effect {
            Effect::Unrestorable | Effect::Pages => {
                let also = match children.as_slice() {
                    [] => String::new(),
                    children => format!(", nor can {}, which build on it", list(children)),
                };
                affected.extend(&children);
                if effect == Effect::Pages {
                    let also = if also.is_empty() { "" } else { ", and perhaps what builds on it" };
                    format!("what backup {key} restores has these damaged pages, too{also}")
                } else {
                    format!("backup {key} can't be restored{also}")
                }
            }
            Effect::Index => format!(
                "backup {key} can be restored, but only as a whole and more slowly: without --database, --delta and --resume"
            ),
            Effect::Manifest => format!(
                "backup {key} can be restored, but nothing can be compared with PostgreSQL's manifest, and no incremental \
                 backup can build on it"
            ),
            Effect::Label => {
                format!("backup {key} can be restored; only the command label can't show its label")
            }
        };
        (means, affected)
    }

    /// Returns the WAL that is missing between each backup and the WAL that follows it on its timeline.
    pub(super) fn holes_behind(&self, inventory: &Inventory, size: SegmentSize) -> Vec<Hole> {
        let hole = |record: &BackupRecord| {
            let first = if record.includes_wal { record.last_wal.next(size)? } else { record.first_wal };
            let follows = segments(inventory).find(|segment| *segment >= first)?;
            let is_hole = follows.timeline() == first.timeline() && follows > first;
            is_hole.then_some(Hole { first, last: follows.previous(size)? })
        };
        self.records.values().filter_map(hole).collect()
    }
}

/// Returns the listed segments in order.
fn segments(inventory: &Inventory) -> impl Iterator<Item = SegmentName> {
    inventory.wal.iter().filter_map(|wal| match wal.name {
        WalName::Segment(segment) => Some(segment),
        _ => None,
    })
}

/// Says what damaged or missing WAL means.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    pub(super) kept: &'a Kept,
    pub(super) histories: &'a Histories,
    pub(super) size: SegmentSize,
}

impl Meaning<'_> {
    /// Returns what damage of this WAL file means, and which backups are affected.
    pub(super) fn of_wal(&self, name: WalName, inventory: &Inventory) -> (String, Vec<BackupKey>) {
        match name {
            WalName::Segment(segment) => self.of_hole(Hole { first: segment, last: segment }, inventory),
            WalName::History(timeline) => {
                (format!("recovery along timeline {timeline} fails, or ends before it"), Vec::new())
            }
            WalName::Partial(_) => (
                "recovery doesn't read it, unless it is asked to use the end of that timeline".to_owned(),
                Vec::new(),
            ),
            WalName::Backup { .. } => ("recovery doesn't read it".to_owned(), Vec::new()),
        }
    }

    /// Returns what missing WAL means, and which backups are affected.
    pub(super) fn of_hole(&self, hole: Hole, inventory: &Inventory) -> (String, Vec<BackupKey>) {
        let (timeline, start) = (hole.first.timeline(), start_of(hole.first, self.size));
        let (mut unrestorable, mut shortened) = (Vec::new(), Vec::new());
        for (key, position) in &self.kept.positions {
            if !self.leads_over(*position, hole) {
                continue;
            }
            let record = self.kept.records.get(key);
            let needs_it = record.is_some_and(|record| {
                !record.includes_wal
                    && record.timeline == timeline
                    && record.first_wal.position() <= hole.last.position()
                    && record.last_wal.position() >= hole.first.position()
            });
            if needs_it { unrestorable.push(*key) } else { shortened.push(*key) }
        }
        let mut means = Vec::new();
        if !unrestorable.is_empty() {
            means.push(format!("without it, {} can't be restored", list(&unrestorable)));
        }
        if !shortened.is_empty() {
            let until = stored_before(hole.first, inventory)
                .map_or_else(String::new, |time| format!(", stored about {time}"));
            let next = self.kept.records.values().filter(|record| {
                record.timeline == timeline && record.first_wal.position() > hole.last.position()
            });
            let next = match next.min_by_key(|record| record.first_wal) {
                Some(next) => format!(
                    "the points in time from there until backup {} had ended, at {}, can't be reached",
                    next.key, next.finished
                ),
                None => "no later point in time can be reached".to_owned(),
            };
            means.push(format!(
                "from {}, recovery reaches {start} on timeline {timeline} at most{until}: {next}",
                list(&shortened)
            ));
        }
        if means.is_empty() {
            means.push("no stored backup needs it".to_owned());
        }
        let affected = unrestorable.into_iter().chain(shortened).collect();
        (means.join("; "), affected)
    }

    /// Whether recovery from a backup at `position` reads the WAL of `hole`.
    fn leads_over(&self, position: Position, hole: Hole) -> bool {
        let timeline = hole.first.timeline();
        let begins = SegmentName::containing(timeline, position.start, self.size);
        let descends = |timeline: Timeline| {
            let past = self.histories.get(timeline);
            past.is_some_and(|past| past.contains(position.timeline, position.start))
        };
        begins.position() <= hole.last.position() && (position.timeline == timeline || descends(timeline))
    }
}

/// Returns when the last segment before `segment` on its timeline was stored.
fn stored_before(segment: SegmentName, inventory: &Inventory) -> Option<Timestamp> {
    let before = inventory.wal.iter().rev().find(|wal| match wal.name {
        WalName::Segment(other) => other.timeline() == segment.timeline() && other < segment,
        _ => false,
    });
    before.map(|wal| wal.stored)
}

/// Lists backups: `backup K`, `backups K1 and K2`, or the first and the last of many.
fn list(keys: &[BackupKey]) -> String {
    match keys {
        [] => "no backup".to_owned(),
        [only] => format!("backup {only}"),
        [one, two] => format!("backups {one} and {two}"),
        [first, .., last] => format!("{} backups, from {first} to {last}", keys.len()),
    }
}
