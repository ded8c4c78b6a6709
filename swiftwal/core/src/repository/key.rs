//! The keys of backups.

mod beginning;

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Serialize, de};
use thiserror::Error;

pub use self::beginning::KeyBeginning;

/// The name of a backup: the time at which it was started, in UTC, to the minute (`20130828T1810Z`) or, if that key was
/// taken, to the second (`20130828T181042Z`).
///
/// Keys are ordered by time, not by text. They are also accepted in lower case and without the `Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackupKey {
    start: DateTime,
    has_seconds: bool,
}

/// A text that isn't a key.
#[derive(Debug, Error)]
#[error("'{0}' is not a backup key; keys look like 20130828T1810Z or 20130828T181042Z, see list-backups")]
pub struct ParseKeyError(String);

impl BackupKey {
    /// Returns the key of a backup started at `start`, to the minute.
    #[must_use]
    pub fn to_the_minute(start: Timestamp) -> Self {
        let t = utc(start);
        Self { start: t.date().at(t.hour(), t.minute(), 0, 0), has_seconds: false }
    }

    /// Returns the key of a backup started at `start`, to the second, for a minute whose key is taken.
    #[must_use]
    pub fn to_the_second(start: Timestamp) -> Self {
        let t = utc(start);
        Self { start: t.date().at(t.hour(), t.minute(), t.second(), 0), has_seconds: true }
    }

    /// Returns the time at which the backup was started.
    #[must_use]
    pub fn time(self) -> Timestamp {
        TimeZone::UTC.to_timestamp(self.start).unwrap_or(Timestamp::MAX)
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.to_ascii_uppercase();
        let digits = text.strip_suffix('Z').unwrap_or(&text);
        let (date, time) = digits.split_once('T')?;
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if date.len() != 8 || !matches!(time.len(), 4 | 6) || !all_digits(date) || !all_digits(time) {
            return None;
        }
        let number = |part: &str| part.parse::<i8>().ok();
        let second = if time.len() == 6 { number(&time[4..])? } else { 0 };
        let start = DateTime::new(
            date[..4].parse().ok()?,
            number(&date[4..6])?,
            number(&date[6..])?,
            number(&time[..2])?,
            number(&time[2..4])?,
            second,
            0,
        );
        Some(Self { start: start.ok()?, has_seconds: time.len() == 6 })
    }
}

fn utc(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(time)
}

impl fmt::Display for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = self.start;
        write!(f, "{:04}{:02}{:02}T{:02}{:02}", t.year(), t.month(), t.day(), t.hour(), t.minute())?;
        if self.has_seconds {
            write!(f, "{:02}", t.second())?;
        }
        f.write_str("Z")
    }
}

impl FromStr for BackupKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or_else(|| ParseKeyError(text.to_owned()))
    }
}

impl Serialize for BackupKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackupKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> BackupKey {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_is_its_start_in_utc() {
        let start: Timestamp = "2013-08-28T20:10:42.5+02:00".parse().unwrap();
        assert_eq!(BackupKey::to_the_minute(start).to_string(), "20130828T1810Z");
        assert_eq!(BackupKey::to_the_second(start).to_string(), "20130828T181042Z");
        assert_eq!(key("20130828T181042Z").time().to_string(), "2013-08-28T18:10:42Z");
        assert_eq!(key("99991231T2359Z").time(), Timestamp::MAX);
    }

    #[test]
    fn keys_are_read_in_lower_case_and_without_the_z() {
        assert_eq!(key("20130828t1810z"), key("20130828T1810Z"));
        assert_eq!(key("20130828T181042"), key("20130828T181042Z"));
    }

    #[test]
    fn keys_order_by_time_and_not_by_text() {
        let ordered = ["20130828T1810Z", "20130828T181000Z", "20130828T181042Z", "20130828T1811Z"].map(key);
        assert!(ordered.is_sorted());
        assert!("20130828T181042Z" < "20130828T1810Z", "as text they would order otherwise");
    }

    #[test]
    fn what_is_no_time_is_no_key() {
        for text in [
            "",
            "latest",
            "20130828",
            "20131328T1810Z",
            "20130828T2510Z",
            "20130828T18101Z",
            "２0130828T1810Z",
        ] {
            assert!(text.parse::<BackupKey>().is_err(), "{text}");
        }
    }
}
