//! The rules of prune: what an administrator wants to keep.

use std::{num::NonZeroU32, time::Duration};

use jiff::tz::TimeZone;

/// What prune must keep. A backup that any of the rules keeps stays.
#[derive(Clone, Debug)]
pub struct PrunePolicy {
    /// The number of the newest full backups to keep, each with the incremental ones that build on it.
    pub keep_backups: Option<NonZeroU32>,
    /// The length of the window, up to now, in which every moment must remain reachable.
    pub keep_within: Option<Duration>,
    /// How many calendar periods keep the last backup of each.
    pub calendar: CalendarRules,
    /// The time zone of the calendar.
    pub time_zone: TimeZone,
    /// The least number of backups to keep, whatever the other rules say.
    pub min_backups: NonZeroU32,
    /// Whether a rule counts only backups that have been proven to be restorable.
    pub only_verified: bool,
    /// The length of the window, up to now, in which every moment must remain reachable; backups from before it keep only
    /// the WAL that makes them consistent. None to keep all WAL that a backup can need.
    pub keep_wal_within: Option<Duration>,
    /// The least number of the newest segments to keep, whether a backup needs them or not.
    pub keep_wals: u32,
}

/// How many of the newest calendar periods in which a backup ended keep the last one of each; 0 for no such rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CalendarRules {
    /// Hours.
    pub hourly: u32,
    /// Days.
    pub daily: u32,
    /// Weeks, from Monday to Sunday.
    pub weekly: u32,
    /// Months.
    pub monthly: u32,
    /// Years.
    pub yearly: u32,
}

impl PrunePolicy {
    /// Creates a policy that keeps this number of the newest full backups.
    #[must_use]
    pub fn newest(keep_backups: NonZeroU32) -> Self {
        Self { keep_backups: Some(keep_backups), ..Self::default() }
    }
}

impl Default for PrunePolicy {
    /// Returns a policy without a rule but to keep at least one backup.
    fn default() -> Self {
        Self {
            keep_backups: None,
            keep_within: None,
            calendar: CalendarRules::default(),
            time_zone: TimeZone::UTC,
            min_backups: NonZeroU32::MIN,
            only_verified: false,
            keep_wal_within: None,
            keep_wals: 0,
        }
    }
}
