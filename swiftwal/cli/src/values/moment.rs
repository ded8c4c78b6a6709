//! Moments in options.

use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// Parses a moment: a time with its offset from UTC, as RFC 3339 has it, or a date, which is the beginning of that day in
/// UTC.
pub(crate) fn moment(text: &str) -> Result<Timestamp, &'static str> {
    let of_date = || TimeZone::UTC.to_timestamp(Date::strptime("%Y-%m-%d", text).ok()?.at(0, 0, 0, 0)).ok();
    text.parse()
        .ok()
        .or_else(of_date)
        .ok_or("give a date, such as 2027-01-31, or a time such as 2027-01-31T12:00:00Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_the_beginning_of_its_day_in_utc() {
        for (text, time) in [
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00Z"),
            ("2027-01-31T12:00:00+01:00", "2027-01-31T11:00:00Z"),
            ("2027-01-31 12:00:00Z", "2027-01-31T12:00:00Z"),
        ] {
            assert_eq!(moment(text).unwrap().to_string(), time, "{text}");
        }
        for text in ["", "tomorrow", "2027-02-30", "2027-01-31T12:00:00", "20270131", "2027-01-31 x"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
