use jiff::Timestamp;

use crate::{Error, Result};

/// Reads a point in time such as `2026-11-23 10:00:00+00`, `2026-11-23T10:00:00Z` or PostgreSQL's own output.
///
/// # Errors
/// [`Error::Refused`] for a time without a zone: on the day of the restore nobody should have to guess.
pub fn parse_target_time(text: &str) -> Result<Timestamp> {
    text.trim().parse().map_err(|error| {
        let hint = match text.trim().parse::<jiff::civil::DateTime>() {
            Ok(_) => format!("it has no time zone: write '{}+00' for UTC, or your own offset", text.trim()),
            Err(_) => format!("write it as '2026-11-23 10:00:00+00' ({error})"),
        };
        Error::Refused(format!("'{text}' is not a point in time to recover to: {hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_with_a_zone_is_that_instant() {
        let expected: Timestamp = "2026-11-23T08:00:00.5Z".parse().unwrap();
        for text in ["2026-11-23 08:00:00.5+00", "2026-11-23T10:00:00.5+02:00", " 2026-11-23 08:00:00.5Z "] {
            assert_eq!(parse_target_time(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_refused_and_told_so() {
        let error = parse_target_time("2026-11-23 08:00:00").unwrap_err();
        assert!(error.to_string().contains("no time zone"), "{error}");
        assert!(parse_target_time("yesterday").is_err());
    }
}
