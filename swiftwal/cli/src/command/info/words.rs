//! Times and time spans as people read them.

use std::time::Duration;

use jiff::Timestamp;

use crate::output::Elapsed;

/// From how many hours on a time span is given in days.
const HOURS_IN_WORDS: u64 = 48;

/// A point in time, to the second.
pub(super) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    format!("{} ago", span(Duration::try_from(now.duration_since(time)).unwrap_or_default()))
}

/// A time span; a long one in days.
pub(super) fn span(span: Duration) -> String {
    let hours = span.as_secs() / 3600;
    if hours < HOURS_IN_WORDS { Elapsed(span).to_string() } else { format!("{} days", hours / 24) }
}

/// As [`span`], of this many seconds.
pub(super) fn span_of_seconds(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
