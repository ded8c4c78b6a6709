//! Which backups of a branch the rules of a policy keep, and what for: without any I/O or clock.
//!
//! Each rule looks at the backups of each branch by itself, since only a person knows on which branch the production server
//! is. Backups are ordered by their positions in the WAL. Their times decide only about windows and calendars.
//!
//! Some backups don't count: those that may be incomplete, those with damaged pages where there are others, and those
//! without a proof if only proven ones count. A rule never removes one that counts in favour of one that doesn't, so the
//! newest that counts stays, and with it each newer one.

use std::{collections::BTreeSet, num::NonZeroU32};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    kept_for::{KeptFor, Reasons},
    policy::{CalendarRules, PrunePolicy},
};
use crate::repository::key::BackupKey;

/// A backup that a rule may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) key: BackupKey,
    /// The full backup that it builds on in the end.
    pub(super) root: BackupKey,
    /// When it ended, by PostgreSQL's clock; or else when it was started.
    pub(super) ended: Timestamp,
    /// A time at which it had certainly ended.
    pub(super) ended_by: Timestamp,
    /// Whether older backups may be removed because of it.
    pub(super) counts: bool,
    /// Whether it has been proven to be restorable.
    pub(super) is_proven: bool,
}

/// Adds to `kept` what the policy keeps of the backups of one branch, at the time `now`. `kept` contains the pinned ones.
pub(super) fn keep(policy: &PrunePolicy, newest_first: &[Candidate], now: Timestamp, kept: &mut Reasons) {
    let branch = Branch { policy, newest_first };
    for candidate in newest_first.iter().take_while(|candidate| !branch.is_counted(candidate)) {
        kept.add(candidate.key, KeptFor::NewerThanCounted);
    }
    if let Some(count) = policy.keep_backups {
        branch.keep_newest(count, kept);
    }
    branch.keep_window(now, kept);
    branch.keep_calendar(kept);
    branch.keep_least(kept);
    branch.keep_proven(kept);
}

/// Returns the backups of one branch that the rules count.
pub(super) fn counted<'a>(
    policy: &'a PrunePolicy,
    newest_first: &'a [Candidate],
) -> impl Iterator<Item = BackupKey> + 'a {
    let branch = Branch { policy, newest_first };
    newest_first.iter().filter(move |candidate| branch.is_counted(candidate)).map(|candidate| candidate.key)
}

/// The backups of one branch, and the rules.
struct Branch<'a> {
    policy: &'a PrunePolicy,
    newest_first: &'a [Candidate],
}

impl Branch<'_> {
    /// Whether the rules count a backup.
    fn is_counted(&self, candidate: &Candidate) -> bool {
        candidate.counts && self.may_stay(candidate)
    }

    /// Whether the rules look at a backup at all.
    fn may_stay(&self, candidate: &Candidate) -> bool {
        candidate.is_proven || !self.policy.only_verified
    }

    fn counted(&self) -> impl Iterator<Item = &Candidate> {
        self.newest_first.iter().filter(|candidate| self.is_counted(candidate))
    }

    /// Keeps the newest chains, up to this number of those that count, and those between them that don't. A chain is as new
    /// as its newest member; a full backup on which nothing builds is a chain of its own. A chain counts if a member does.
    fn keep_newest(&self, count: NonZeroU32, kept: &mut Reasons) {
        let has = |root, is: &dyn Fn(&Candidate) -> bool| {
            self.newest_first.iter().any(|candidate| candidate.root == root && is(candidate))
        };
        let (mut missing, mut wanted) = (count.get(), BTreeSet::new());
        for Candidate { root, .. } in self.newest_first {
            let may_stay = has(*root, &|candidate| self.may_stay(candidate));
            if missing > 0 && may_stay && wanted.insert(*root) {
                missing -= u32::from(has(*root, &|candidate| self.is_counted(candidate)));
            }
        }
        for candidate in self.newest_first.iter().filter(|candidate| wanted.contains(&candidate.root)) {
            kept.add(candidate.key, KeptFor::Newest(count));
        }
    }

    /// Keeps what ended within the window, and the newest that ended before it.
    fn keep_window(&self, now: Timestamp, kept: &mut Reasons) {
        let Some(window) = self.policy.keep_within else { return };
        let begins = now.checked_sub(window).unwrap_or(Timestamp::MIN);
        let within = self
            .newest_first
            .iter()
            .filter(|candidate| self.may_stay(candidate) && candidate.ended_by > begins);
        for candidate in within {
            kept.add(candidate.key, KeptFor::Within(window));
        }
        if let Some(newest) = self.counted().find(|candidate| candidate.ended_by <= begins) {
            kept.add(newest.key, KeptFor::WindowStart(window));
        }
    }

    /// Keeps the last backup of each of the newest periods in which one ended.
    fn keep_calendar(&self, kept: &mut Reasons) {
        for Rule { count, period, reason } in rules(&self.policy.calendar) {
            let mut periods = BTreeSet::new();
            for candidate in self.counted() {
                let period = period(&self.policy.time_zone, candidate.ended);
                if periods.len() < count && periods.insert(period.clone()) {
                    kept.add(candidate.key, reason(period));
                }
            }
        }
    }

    /// Keeps further backups, the newest first, if there are too few.
    fn keep_least(&self, kept: &mut Reasons) {
        let least = self.policy.min_backups;
        let counting = || self.newest_first.iter().filter(|candidate| candidate.counts);
        let is_kept = |candidate: &&Candidate| kept.keeps(candidate.key);
        let enough = counting().filter(is_kept).count();
        let missing = usize::try_from(least.get()).unwrap_or(usize::MAX).saturating_sub(enough);
        let further: Vec<_> = counting().filter(|candidate| !is_kept(candidate)).take(missing).collect();
        for candidate in further {
            kept.add(candidate.key, KeptFor::LeastNumber(least));
        }
    }

    /// Keeps the newest proven backup, if no other one is kept.
    fn keep_proven(&self, kept: &mut Reasons) {
        let mut proven = self.newest_first.iter().filter(|candidate| candidate.is_proven);
        if let Some(newest) = proven.next()
            && !proven.chain([newest]).any(|candidate| kept.keeps(candidate.key))
        {
            kept.add(newest.key, KeptFor::OnlyProven);
        }
    }
}

/// One rule by the calendar. The name of a period belongs to that period alone.
struct Rule {
    count: usize,
    period: fn(&TimeZone, Timestamp) -> String,
    reason: fn(String) -> KeptFor,
}

fn rules(calendar: &CalendarRules) -> [Rule; 5] {
    let rule = |count: u32, period, reason| {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        Rule { count, period, reason }
    };
    // Where clocks are set back, an hour comes twice, so its name contains the offset from UTC. An ISO week belongs to the
    // year that its Thursday is in.
    [
        rule(calendar.hourly, |zone, time| name(zone, time, "%Y-%m-%d %H:00%:z"), KeptFor::Hourly),
        rule(calendar.daily, |zone, time| name(zone, time, "%Y-%m-%d"), KeptFor::Daily),
        rule(calendar.weekly, |zone, time| name(zone, time, "%G-W%V"), KeptFor::Weekly),
        rule(calendar.monthly, |zone, time| name(zone, time, "%Y-%m"), KeptFor::Monthly),
        rule(calendar.yearly, |zone, time| name(zone, time, "%Y"), KeptFor::Yearly),
    ]
}

fn name(zone: &TimeZone, time: Timestamp, format: &str) -> String {
    time.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The time zone of Zurich, on a machine with or without a database of time zones.
    const ZURICH: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    /// Returns a full backup that ended at this time, and has its key.
    fn candidate(ended: &str) -> Candidate {
        let ended = ended.parse().unwrap();
        let key = BackupKey::to_the_second(ended);
        Candidate { key, root: key, ended, ended_by: ended, counts: true, is_proven: false }
    }

    fn candidates(ended: &[&str]) -> Vec<Candidate> {
        ended.iter().rev().map(|ended| candidate(ended)).collect()
    }

    fn zurich() -> TimeZone {
        TimeZone::posix(ZURICH).unwrap()
    }

    /// Returns each kept backup with what it is kept for, oldest first.
    fn kept_of(policy: &PrunePolicy, newest_first: &[Candidate], now: &str) -> Vec<String> {
        let mut kept = Reasons::default();
        keep(policy, newest_first, now.parse().unwrap(), &mut kept);
        let line = |key| {
            let reasons: Vec<_> = kept.of(key).map(ToString::to_string).collect();
            format!("{key} {}", reasons.join(", "))
        };
        kept.keys().map(line).collect()
    }

    fn kept(policy: &PrunePolicy, ended: &[&str], now: &str) -> Vec<String> {
        kept_of(policy, &candidates(ended), now)
    }

    fn days(days: u64) -> PrunePolicy {
        PrunePolicy { keep_within: Some(Duration::from_secs(days * 86400)), ..PrunePolicy::default() }
    }

    fn calendar(calendar: CalendarRules, time_zone: TimeZone) -> PrunePolicy {
        PrunePolicy { calendar, time_zone, ..PrunePolicy::default() }
    }

    #[test]
    fn the_newest_backup_before_the_window_stays_so_that_each_moment_in_it_can_be_reached() {
        let ended =
            ["2026-11-01T03:00:00Z", "2026-11-02T03:00:00Z", "2026-11-03T03:00:00Z", "2026-11-04T03:00:00Z"];
        assert_eq!(
            kept(&days(2), &ended, "2026-11-05T02:00:00Z"),
            [
                "20261102T030000Z newest before the last 2 days",
                "20261103T030000Z within 2 days",
                "20261104T030000Z within 2 days",
            ]
        );
        // All are before the window: the newest reaches every moment in it.
        assert_eq!(
            kept(&days(1), &ended, "2027-01-01T00:00:00Z"),
            ["20261104T030000Z newest before the last 1 day"]
        );
    }

    #[test]
    fn a_backup_of_which_only_the_start_is_known_does_not_reach_the_day_after() {
        let mut backups = candidates(&["2026-11-01T03:00:00Z", "2026-11-02T03:00:00Z"]);
        backups[0].ended_by = "2026-11-03T03:00:00Z".parse().unwrap();
        assert_eq!(
            kept_of(&days(2), &backups, "2026-11-04T12:00:00Z"),
            ["20261101T030000Z newest before the last 2 days", "20261102T030000Z within 2 days"]
        );
    }

    #[test]
    fn each_calendar_period_keeps_its_last_backup() {
        let rules = CalendarRules { daily: 2, monthly: 2, yearly: 1, ..CalendarRules::default() };
        let ended = [
            "2026-09-30T03:00:00Z",
            "2026-10-01T03:00:00Z",
            "2026-10-31T03:00:00Z",
            "2026-11-26T03:00:00Z",
            "2026-11-27T03:00:00Z",
            "2026-11-27T15:00:00Z",
        ];
        assert_eq!(
            kept(&calendar(rules, TimeZone::UTC), &ended, "2026-11-28T00:00:00Z"),
            [
                "20261031T030000Z monthly 2026-10",
                "20261126T030000Z daily 2026-11-26",
                "20261127T150000Z daily 2026-11-27, monthly 2026-11, yearly 2026",
            ]
        );
    }

    #[test]
    fn days_without_a_backup_are_not_counted() {
        let rules = CalendarRules { daily: 2, ..CalendarRules::default() };
        let ended = ["2026-01-01T03:00:00Z", "2026-02-01T03:00:00Z", "2026-07-01T03:00:00Z"];
        assert_eq!(
            kept(&calendar(rules, TimeZone::UTC), &ended, "2026-11-28T00:00:00Z"),
            ["20260201T030000Z daily 2026-02-01", "20260701T030000Z daily 2026-07-01"]
        );
    }

    #[test]
    fn the_day_and_the_week_are_those_of_the_time_zone() {
        let daily = CalendarRules { daily: 9, ..CalendarRules::default() };
        let ended = ["2026-11-26T23:30:00Z", "2026-11-27T00:30:00Z"];
        let now = "2026-11-28T00:00:00Z";
        assert_eq!(kept(&calendar(daily, TimeZone::UTC), &ended, now).len(), 2);
        assert_eq!(kept(&calendar(daily, zurich()), &ended, now), ["20261127T003000Z daily 2026-11-27"]);
        let weekly = CalendarRules { weekly: 9, ..CalendarRules::default() };
        let ended = ["2026-12-31T12:00:00Z", "2027-01-03T12:00:00Z", "2027-01-04T12:00:00Z"];
        assert_eq!(
            kept(&calendar(weekly, TimeZone::UTC), &ended, "2027-02-01T00:00:00Z"),
            ["20270103T120000Z weekly 2026-W53", "20270104T120000Z weekly 2027-W01"]
        );
    }

    #[test]
    fn the_hour_that_comes_twice_when_clocks_are_set_back_counts_twice() {
        let hourly = CalendarRules { hourly: 9, ..CalendarRules::default() };
        let ended = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(
            kept(&calendar(hourly, zurich()), &ended, "2026-10-26T00:00:00Z"),
            [
                "20261025T003000Z hourly 2026-10-25 02:00+02:00",
                "20261025T013000Z hourly 2026-10-25 02:00+01:00",
            ]
        );
    }

    #[test]
    fn only_proven_backups_count_and_those_that_are_newer_stay() {
        let ended = [1, 2, 3, 4, 5].map(|day| format!("2026-11-0{day}T03:00:00Z"));
        let mut backups = candidates(&ended.each_ref().map(String::as_str));
        for proven in [1, 3, 4] {
            backups[proven].is_proven = true;
        }
        let count = NonZeroU32::new(2).unwrap();
        let policy = PrunePolicy { only_verified: true, ..PrunePolicy::newest(count) };
        assert_eq!(
            kept_of(&policy, &backups, "2026-11-06T00:00:00Z"),
            [
                "20261102T030000Z newest 2",
                "20261104T030000Z newest 2",
                "20261105T030000Z newer than each that counts",
            ]
        );
        backups.iter_mut().for_each(|backup| backup.is_proven = false);
        assert_eq!(kept_of(&policy, &backups, "2026-11-06T00:00:00Z").len(), 5, "without a proof all stay");
    }

    #[test]
    fn the_only_proven_backup_stays_whatever_the_rules_say() {
        let ended = ["2026-11-01T03:00:00Z", "2026-11-02T03:00:00Z", "2026-11-03T03:00:00Z"];
        let mut backups = candidates(&ended);
        backups[1].is_proven = true;
        backups[2].is_proven = true;
        assert_eq!(
            kept_of(&PrunePolicy::newest(NonZeroU32::MIN), &backups, "2026-11-06T00:00:00Z"),
            ["20261102T030000Z the only proven backup", "20261103T030000Z newest 1"]
        );
    }

    #[test]
    fn too_few_backups_are_filled_up_with_the_newest() {
        let ended = ["2026-11-01T03:00:00Z", "2026-11-02T03:00:00Z", "2026-11-03T03:00:00Z"];
        let policy = PrunePolicy { min_backups: NonZeroU32::new(2).unwrap(), ..days(1) };
        assert_eq!(
            kept(&policy, &ended, "2026-12-01T00:00:00Z"),
            ["20261102T030000Z at least 2", "20261103T030000Z newest before the last 1 day"]
        );
    }
}
