//! Parses a point in time to recover to, as people and PostgreSQL write it.

use jiff::{Timestamp, civil::DateTime, tz::Offset};
use swiftwal_postgres::printable;

use crate::error::{Error, Refusal, Result};

/// The largest offset that PostgreSQL accepts, in hours.
const MOST_OFFSET_HOURS: i32 = 15;

/// Parses a point in time with its time zone: `2026-11-23 10:00:00 UTC` as PostgreSQL's log writes it, `…+00`, `… -05`,
/// `…+05:30`, `…T10:00:00Z`.
///
/// # Errors
///
/// [`Error::Refused`] for anything else, including a time without a zone and the name of a zone: such a time would have
/// to be guessed.
pub fn parse_target_time(text: &str) -> Result<Timestamp> {
    let refused = |problem: &str| {
        let (text, problem) = (printable(text).to_string(), problem.to_owned());
        Err(Error::Refused(Refusal::TargetTime { text, problem }))
    };
    let text = text.trim();
    let Some((moment, zone)) = split_zone(text).and_then(|(time, zone)| Some((moment(time)?, zone))) else {
        return refused(
            "write it as '2026-11-23 10:00:00 UTC', or with an offset, as '2026-11-23 10:00:00+02'",
        );
    };
    if zone.is_empty() {
        return refused(&format!(
            "it has no time zone; write '{text} UTC', or your own offset, as '{text}+02'"
        ));
    }
    let found = offset(zone).and_then(|offset| offset.to_timestamp(moment).ok());
    found.map_or_else(
        || {
            refused(&format!(
                "'{}' can't be used as its time zone; write UTC, GMT, Z or an offset from UTC such as +02 or -05:30",
                printable(zone)
            ))
        },
        Ok,
    )
}

/// Splits a point in time into date and time, and the zone.
fn split_zone(text: &str) -> Option<(&str, &str)> {
    let (date, rest) = text.split_at_checked(10)?;
    let time = rest.strip_prefix([' ', 'T', 't'])?;
    let end = time.find(|c: char| !c.is_ascii_digit() && !matches!(c, ':' | '.')).unwrap_or(time.len());
    let at = date.len() + rest.len() - time.len() + end;
    Some((&text[..at], text[at..].trim_start()))
}

fn moment(text: &str) -> Option<DateTime> {
    text.contains(':').then(|| text.parse().ok())?
}

fn offset(zone: &str) -> Option<Offset> {
    if ["Z", "UTC", "GMT"].iter().any(|name| zone.eq_ignore_ascii_case(name)) {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let [hours, minutes, seconds] = clock(digits)?;
    let is_possible = hours <= MOST_OFFSET_HOURS && minutes < 60 && seconds < 60;
    let seconds = sign * (hours * 3600 + minutes * 60 + seconds);
    is_possible.then(|| Offset::from_seconds(seconds).ok())?
}

/// Parses hours, minutes and seconds: `5`, `05`, `0530`, `05:30`, `05:30:15`.
fn clock(digits: &str) -> Option<[i32; 3]> {
    let parts: Vec<&str> = match digits.len() {
        4 if !digits.contains(':') => vec![digits.get(..2)?, digits.get(2..)?],
        _ => digits.split(':').collect(),
    };
    let is_number =
        |part: &&str| matches!(part.len(), 1 | 2) && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(is_number) {
        return None;
    }
    let mut clock = [0; 3];
    for (field, part) in clock.iter_mut().zip(parts) {
        *field = part.parse().ok()?;
    }
    Some(clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_a_zone_is_that_instant() {
        let expected: Timestamp = "2026-11-23T08:00:00.5Z".parse().unwrap();
        for text in [
            "2026-11-23 08:00:00.5+00",
            "2026-11-23T10:00:00.5+02:00",
            " 2026-11-23 08:00:00.5Z ",
            "2026-11-23 08:00:00.500 UTC",
            "2026-11-23 08:00:00.500 gmt",
            "2026-11-23 03:00:00.5 -05",
            "2026-11-23 13:30:00.5+0530",
            "2026-11-23 13:30:00.5 +5:30",
            "2026-11-23 07:15:30.5-00:44:30",
            "2026-11-23t08:00:00.5z",
        ] {
            assert_eq!(parse_target_time(text).unwrap(), expected, "{text}");
        }
        assert!(parse_target_time("2026-11-23 08:00 UTC").is_ok());
    }

    #[test]
    fn a_time_without_a_zone_is_refused_and_told_so() {
        let error = parse_target_time("2026-11-23 08:00:00").unwrap_err();
        assert!(error.to_string().contains("no time zone"), "{error}");
    }

    #[test]
    fn what_is_refused_is_told_what_would_be_accepted() {
        for text in [
            "yesterday",
            "",
            "2026-11-23",
            "2026-11-23 UTC",
            "23.11.2026 08:00:00 UTC",
            "2026-13-23 08:00:00 UTC",
            "2026-11-23 08:00:00 CET",
            "2026-11-23 08:00:00+16",
            "2026-11-23 08:00:00+1:2:3:4",
            "2026-11-23 08:00:00+02:99",
            "2026-11-23 08:00:00+",
            "2026-11-2ä 08:00:00+00",
        ] {
            let message = parse_target_time(text).unwrap_err().to_string();
            assert!(message.contains("UTC") && message.contains("+02"), "{message}");
        }
    }
}
