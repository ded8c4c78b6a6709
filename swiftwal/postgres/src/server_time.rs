//! Parses times as PostgreSQL writes them into a backup label: local time of `log_timezone`, and the zone's
//! abbreviation.

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

/// The largest offset of a zone from UTC.
const FURTHEST: SignedDuration = SignedDuration::from_hours(14);
/// Every zone in use has an offset that is a multiple of this.
const QUARTER_HOUR_SECONDS: i64 = 900;

/// Parses a moment such as `2013-08-28 18:10:42 UTC`.
///
/// An abbreviation such as `CET` or `IST` doesn't define an offset. The offset is then the one that brings the moment
/// nearest to `near`, which must be right to a few minutes; `None` if no offset does.
pub(crate) fn moment(text: &str, near: Timestamp) -> Option<Timestamp> {
    let (local, zone) = text.rsplit_once(' ')?;
    let local = local.parse::<DateTime>().ok()?;
    let as_utc = TimeZone::UTC.to_timestamp(local).ok()?;
    let offset = match offset(zone) {
        Some(offset) => offset,
        None => nearest_offset(as_utc, near)?,
    };
    as_utc.checked_sub(offset).ok()
}

/// Returns the offset of a zone that defines it: `UTC`, `+03`, `-0330`.
fn offset(zone: &str) -> Option<SignedDuration> {
    if matches!(zone, "UTC" | "GMT" | "UCT" | "Z") {
        return Some(SignedDuration::ZERO);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (digits, "0"),
        4 => digits.split_at_checked(2)?,
        _ => return None,
    };
    let number = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    Some(SignedDuration::from_mins(sign * (number(hours)? * 60 + number(minutes)?)))
}

fn nearest_offset(as_utc: Timestamp, near: Timestamp) -> Option<SignedDuration> {
    let apart = as_utc.duration_since(near).as_secs();
    let quarters = (apart + QUARTER_HOUR_SECONDS / 2).div_euclid(QUARTER_HOUR_SECONDS);
    let offset = SignedDuration::from_secs(quarters * QUARTER_HOUR_SECONDS);
    (offset.abs() <= FURTHEST).then_some(offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_zone_that_tells_its_offset_is_taken_at_its_word() {
        let far_away = Timestamp::UNIX_EPOCH;
        for (text, expected) in [
            ("2013-08-28 18:10:42 UTC", "2013-08-28T18:10:42Z"),
            ("2013-08-28 18:10:42 GMT", "2013-08-28T18:10:42Z"),
            ("2013-08-28 18:10:42 +03", "2013-08-28T15:10:42Z"),
            ("2013-08-28 18:10:42 -0330", "2013-08-28T21:40:42Z"),
        ] {
            assert_eq!(moment(text, far_away), Some(time(expected)), "{text}");
        }
    }

    #[test]
    fn an_abbreviation_is_the_zone_that_fits_the_time() {
        let near = time("2013-08-28T16:12:00Z");
        assert_eq!(moment("2013-08-28 18:10:42 CEST", near), Some(time("2013-08-28T16:10:42Z")));
        assert_eq!(moment("2013-08-28 21:40:42 IST", near), Some(time("2013-08-28T16:10:42Z")));
        assert_eq!(moment("2013-08-28 09:10:42 PDT", near), Some(time("2013-08-28T16:10:42Z")));
    }

    #[test]
    fn what_no_zone_brings_near_and_what_is_no_time_is_none() {
        let near = time("2013-08-28T16:12:00Z");
        for text in ["2013-08-30 18:10:42 CEST", "2013-08-28 18:10:42", "soon", "", "2013-13-28 18:10:42 UTC"]
        {
            assert_eq!(moment(text, near), None, "{text}");
        }
    }
}
