//! Durations in options and settings.

use std::time::Duration;

use thiserror::Error;

/// The units, with PostgreSQL's names, in seconds.
const UNITS: [(&str, u64); 4] = [("min", 60), ("s", 1), ("h", 3600), ("d", 86400)];

/// A text that isn't a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("give a number of seconds, or a number with a unit: 90s, 5min, 2h or 1d")]
pub(crate) struct ParseDurationError;

/// Parses a duration: a whole number of seconds, or with one of PostgreSQL's units s, min, h or d.
pub(crate) fn duration(text: &str) -> Result<Duration, ParseDurationError> {
    let with_unit = |(unit, seconds)| Some((text.strip_suffix(unit)?.trim_end(), seconds));
    let (number, unit_seconds) = UNITS.into_iter().find_map(with_unit).unwrap_or((text, 1));
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ParseDurationError);
    }
    let number: u64 = number.parse().map_err(|_| ParseDurationError)?;
    number.checked_mul(unit_seconds).map(Duration::from_secs).ok_or(ParseDurationError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_seconds_unless_it_has_a_unit() {
        for (text, seconds) in
            [("0", 0), ("90", 90), ("90s", 90), ("5min", 300), ("5 min", 300), ("2h", 7200), ("1d", 86400)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_has_no_number_or_another_unit_is_no_duration() {
        for text in ["", "s", "soon", "-1", "+1", "1.5h", "1w", "5m", "1h30min", "18446744073709551615d"] {
            assert_eq!(duration(text), Err(ParseDurationError), "{text}");
        }
    }
}
