//! Time zones in options.

use jiff::tz::TimeZone;

/// Parses the name of a time zone, such as `Europe/Zurich`.
pub(crate) fn time_zone(text: &str) -> Result<TimeZone, &'static str> {
    let problem = "this machine doesn't know that time zone; give a name such as Europe/Zurich, from /usr/share/zoneinfo (the \
                   package tzdata)";
    TimeZone::get(text).map_err(|_| problem)
}
