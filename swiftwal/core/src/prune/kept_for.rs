//! What each kept backup is kept for.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU32,
    time::Duration,
};

use jiff::Timestamp;
use serde::Serialize;
use swiftwal_postgres::Timeline;

use crate::{local::elapsed::Elapsed, repository::key::BackupKey};

/// Why prune keeps a backup. Its text is for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeptFor {
    /// An administrator has pinned it.
    Pinned {
        /// Until when; none for ever.
        until: Option<Timestamp>,
        /// The administrator's reason.
        reason: Option<String>,
    },
    /// It is one of the newest full backups, or builds on one.
    Newest(NonZeroU32),
    /// It ended within the window.
    Within(Duration),
    /// It is the newest that ended before the window begins, from which each moment in the window can be reached.
    WindowStart(Duration),
    /// It is the last of an hour: `2026-11-27 14:00+01:00`.
    Hourly(String),
    /// It is the last of a day: `2026-11-27`.
    Daily(String),
    /// It is the last of a week: `2026-W48`.
    Weekly(String),
    /// It is the last of a month: `2026-11`.
    Monthly(String),
    /// It is the last of a year: `2026`.
    Yearly(String),
    /// Fewer backups than the least number would be kept without it.
    LeastNumber(NonZeroU32),
    /// It doesn't count, and is newer than each backup that does.
    NewerThanCounted,
    /// No other backup that is kept has been proven to be restorable.
    OnlyProven,
    /// It is the only one that leads to the end of this timeline.
    LeadsTo(Timeline),
    /// A backup in progress builds on it.
    InProgress,
    /// This backup, which is kept, builds on it.
    ParentOf(BackupKey),
}

/// What each kept backup is kept for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Reasons(BTreeMap<BackupKey, BTreeSet<KeptFor>>);

impl Reasons {
    /// Returns what a backup is kept for; nothing if it isn't kept.
    pub fn of(&self, key: BackupKey) -> impl Iterator<Item = &KeptFor> {
        self.0.get(&key).into_iter().flatten()
    }

    /// Returns the kept backups, oldest first.
    pub fn keys(&self) -> impl Iterator<Item = BackupKey> {
        self.0.keys().copied()
    }

    pub(super) fn keeps(&self, key: BackupKey) -> bool {
        self.0.contains_key(&key)
    }

    pub(super) fn add(&mut self, key: BackupKey, reason: KeptFor) {
        self.0.entry(key).or_default().insert(reason);
    }

    pub(super) fn extend(&mut self, others: Self) {
        for (key, reasons) in others.0 {
            self.0.entry(key).or_default().extend(reasons);
        }
    }
}

impl Serialize for KeptFor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for KeptFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinned { until, reason } => {
                f.write_str("pinned")?;
                if let Some(until) = until {
                    write!(f, " until {until}")?;
                }
                reason.as_ref().map_or(Ok(()), |reason| write!(f, " ({reason})"))
            }
            Self::Newest(count) => write!(f, "newest {count}"),
            Self::Within(window) => write!(f, "within {}", InDays(*window)),
            Self::WindowStart(window) => write!(f, "newest before the last {}", InDays(*window)),
            Self::Hourly(period) => write!(f, "hourly {period}"),
            Self::Daily(period) => write!(f, "daily {period}"),
            Self::Weekly(period) => write!(f, "weekly {period}"),
            Self::Monthly(period) => write!(f, "monthly {period}"),
            Self::Yearly(period) => write!(f, "yearly {period}"),
            Self::LeastNumber(count) => write!(f, "at least {count}"),
            Self::NewerThanCounted => f.write_str("newer than each that counts"),
            Self::OnlyProven => f.write_str("the only proven backup"),
            Self::LeadsTo(timeline) => write!(f, "leads to timeline {timeline}"),
            Self::InProgress => f.write_str("a backup in progress builds on it"),
            Self::ParentOf(child) => write!(f, "parent of {child}"),
        }
    }
}

/// A duration, in days if it is a number of days.
struct InDays(Duration);

impl fmt::Display for InDays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 86400;
        match (self.0.as_secs() / DAY, self.0.as_secs() % DAY) {
            (1, 0) => f.write_str("1 day"),
            (days @ 2.., 0) => write!(f, "{days} days"),
            _ => Elapsed(self.0).fmt(f),
        }
    }
}
