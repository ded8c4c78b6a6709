//! The time of day.

use jiff::Timestamp;

/// Returns the time of day. The only place in this crate that reads it.
#[expect(clippy::disallowed_methods, reason = "its one home in this crate")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
