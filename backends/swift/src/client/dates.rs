//! The servers' time, according to the dates of their responses.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, header};
use jiff::fmt::rfc2822::DateTimeParser;

/// How long the last date is extrapolated by this machine's monotonic clock.
const FRESH: Duration = Duration::from_secs(10);

/// The servers' time according to their last response, which saves a request for it.
#[derive(Debug, Default)]
pub(super) struct Dates(Mutex<Option<(SystemTime, Instant)>>);

impl Dates {
    /// Records the date of a response that arrived at `now`.
    pub(super) fn note(&self, headers: &HeaderMap, now: Instant) {
        if let Some(date) = date(headers) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((date, now));
        }
    }

    /// The servers' time at `now`; None if no response of the last seconds had a date.
    pub(super) fn time_at(&self, now: Instant) -> Option<SystemTime> {
        let (date, noted) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = now.duration_since(noted);
        (since < FRESH).then(|| date + since)
    }
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    Some(DateTimeParser::new().parse_timestamp(text).ok()?.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn dated(date: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::DATE, HeaderValue::from_static(date))])
    }

    #[test]
    fn the_last_date_is_carried_on_for_a_while() {
        let (dates, now) = (Dates::default(), Instant::now());
        assert_eq!(dates.time_at(now), None);
        dates.note(&dated("Tue, 14 Nov 2023 22:13:20 GMT"), now);
        let servers = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(dates.time_at(now), Some(servers));
        let second = Duration::from_secs(1);
        assert_eq!(dates.time_at(now + second), Some(servers + second));
        assert_eq!(dates.time_at(now + FRESH), None);
    }

    #[test]
    fn what_is_no_date_tells_nothing() {
        let (dates, now) = (Dates::default(), Instant::now());
        dates.note(&HeaderMap::new(), now);
        dates.note(&dated("soon"), now);
        assert_eq!(dates.time_at(now), None);
    }
}
