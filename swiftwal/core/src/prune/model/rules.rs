//! The rules of the model: what each keeps, by looking at every backup for itself.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    is_damaged, root,
    world::{Backup, World},
};
use crate::{
    local::clock::{Clock, SystemClock},
    prune::{CalendarRules, PrunePolicy},
};

/// A policy, and the beginnings of its windows.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) policy: PrunePolicy,
    pub(super) begins: Option<Timestamp>,
    pub(super) wal_begins: Option<Timestamp>,
}

pub(super) fn rules() -> impl Strategy<Value = Rules> {
    let counts = (prop::option::of(1..4u32), 0..4u32, 0..4u32, 1..4u32);
    // Between the times of backups, since the storage's time is that of the machine.
    let begins =
        || prop::option::of(prop::sample::select(vec![-500i64, 5, 600, 1205, 1800, 2405, 3000, 4000]));
    (counts, [begins(), begins()], prop::bool::weighted(0.3), 0..6u32).prop_map(
        |((backups, hourly, daily, least), begins, only_verified, keep_wals)| {
            let time = |minute| Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute);
            let [begins, wal_begins] = begins.map(|begins| begins.map(time));
            let window = |begins| Duration::try_from(SystemClock.now().duration_since(begins)).unwrap();
            let policy = PrunePolicy {
                keep_backups: backups.and_then(NonZeroU32::new),
                keep_within: begins.map(window),
                calendar: CalendarRules { hourly, daily, ..CalendarRules::default() },
                min_backups: NonZeroU32::new(least).unwrap(),
                only_verified,
                keep_wal_within: wal_begins.map(window),
                keep_wals,
                ..PrunePolicy::default()
            };
            Rules { policy, begins, wal_begins }
        },
    )
}

/// The backups of a single timeline, and the rules.
pub(super) struct Model<'a> {
    pub(super) world: &'a World,
    pub(super) rules: &'a Rules,
}

impl Model<'_> {
    /// Whether a backup is behind another one in the WAL.
    fn is_newer(a: &Backup, b: &Backup) -> bool {
        (a.start(), a.number) > (b.start(), b.number)
    }

    fn counts(&self, backup: &Backup) -> bool {
        !is_damaged(self.world, backup)
            || self.world.backups.iter().all(|other| is_damaged(self.world, other))
    }

    fn may_stay(&self, backup: &Backup) -> bool {
        backup.is_proven || !self.rules.policy.only_verified
    }

    fn is_counted(&self, backup: &Backup) -> bool {
        self.counts(backup) && self.may_stay(backup)
    }

    /// Returns how many of these things, each of which backups belong to, have a counted backup that is newer than all of
    /// `thing`'s.
    fn newer_than<T: Ord>(
        &self,
        thing: &T,
        of: impl Fn(&Backup) -> T,
        counts: impl Fn(&Backup) -> bool,
    ) -> usize {
        let all = || self.world.backups.iter();
        let is_newer_than_all = |backup: &&Backup| {
            all()
                .filter(|other| of(other) == *thing && counts(other))
                .all(|other| Self::is_newer(backup, other))
        };
        let newer = all().filter(|backup| counts(backup)).filter(is_newer_than_all);
        newer.map(&of).collect::<BTreeSet<_>>().len()
    }

    /// Whether the backup is the newest counted one of its period, and fewer than `count` periods are newer.
    fn is_of_period(&self, backup: &Backup, seconds: i64, count: u32) -> bool {
        let period = |backup: &Backup| backup.ended().as_second().div_euclid(seconds);
        let counts = |other: &Backup| self.is_counted(other);
        let later =
            self.world.backups.iter().filter(|other| counts(other) && period(other) == period(backup));
        counts(backup)
            && !later.into_iter().any(|other| Self::is_newer(other, backup))
            && self.newer_than(&period(backup), period, counts) < usize::try_from(count).unwrap()
    }

    fn is_in_window(&self, backup: &Backup) -> bool {
        let Some(begins) = self.rules.begins else { return false };
        let is_before = |other: &Backup| self.is_counted(other) && other.ended() <= begins;
        let is_newest_before = is_before(backup)
            && !self.world.backups.iter().any(|other| is_before(other) && Self::is_newer(other, backup));
        is_newest_before || (self.may_stay(backup) && backup.ended() > begins)
    }

    /// Whether the chain of the backup is among the newest, with fewer than the requested number of counted ones before it.
    fn is_of_newest_chains(&self, backup: &Backup) -> bool {
        let Some(count) = self.rules.policy.keep_backups else { return false };
        let members =
            |chain: i64| self.world.backups.iter().filter(move |other| root(self.world, other) == chain);
        let newest_of =
            |chain: i64| members(chain).max_by_key(|member| (member.start(), member.number)).unwrap();
        let own = root(self.world, backup);
        let newer_chains: BTreeSet<_> = self
            .world
            .backups
            .iter()
            .map(|other| root(self.world, other))
            .filter(|chain| Self::is_newer(newest_of(*chain), newest_of(own)))
            .filter(|chain| members(*chain).any(|member| self.is_counted(member)))
            .collect();
        members(own).any(|member| self.may_stay(member))
            && newer_chains.len() < usize::try_from(count.get()).unwrap()
    }

    /// Returns the numbers of the backups that must stay, without their parents.
    pub(super) fn kept(&self) -> BTreeSet<i64> {
        let policy = &self.rules.policy;
        let by_a_rule = |backup: &&Backup| {
            let is_newer_than_counted = !self
                .world
                .backups
                .iter()
                .any(|other| self.is_counted(other) && !Self::is_newer(backup, other));
            backup.is_pinned
                || is_newer_than_counted
                || self.is_of_newest_chains(backup)
                || self.is_in_window(backup)
                || self.is_of_period(backup, 3600, policy.calendar.hourly)
                || self.is_of_period(backup, 86400, policy.calendar.daily)
        };
        let mut kept: BTreeSet<_> =
            self.world.backups.iter().filter(by_a_rule).map(|backup| backup.number).collect();
        let mut newest_first: Vec<_> = self.world.backups.iter().collect();
        newest_first.sort_by_key(|backup| std::cmp::Reverse((backup.start(), backup.number)));
        for backup in newest_first.iter().filter(|backup| self.counts(backup)) {
            let enough =
                self.world.backups.iter().filter(|other| self.counts(other) && kept.contains(&other.number));
            if enough.count() < usize::try_from(policy.min_backups.get()).unwrap() {
                kept.insert(backup.number);
            }
        }
        let is_any_proven =
            self.world.backups.iter().any(|backup| backup.is_proven && kept.contains(&backup.number));
        if let (false, Some(newest)) = (is_any_proven, newest_first.iter().find(|backup| backup.is_proven)) {
            kept.insert(newest.number);
        }
        kept
    }
}
