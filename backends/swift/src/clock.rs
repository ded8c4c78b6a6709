//! The time of day.

use jiff::Timestamp;

/// The time of day, asked here alone.
#[expect(clippy::disallowed_methods, reason = "its one home in this crate")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
