//! Timelines: the branches in the history of a cluster.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of a timeline, never 0. It is displayed in decimal, but file names contain it in hexadecimal.
///
/// Serde stores a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeline(NonZeroU32);

impl Timeline {
    /// The timeline of a new cluster, the only one without a history file.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// Creates the timeline with this number; `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// Returns the number.
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timeline {
    type Err = ParseTimelineError;

    /// Parses a decimal number from 1 to 4294967295, without a sign.
    fn from_str(text: &str) -> Result<Self, ParseTimelineError> {
        let number = if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None };
        number.and_then(Self::new).ok_or_else(|| ParseTimelineError { text: text.to_owned() })
    }
}

/// The text isn't a timeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' is not a timeline; a timeline is a decimal number from 1 to 4294967295",
    crate::printable(text)
)]
pub struct ParseTimelineError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_is_read_and_printed_in_decimal() {
        let timeline: Timeline = "26".parse().unwrap();
        assert_eq!(timeline.get(), 26);
        assert_eq!(timeline.to_string(), "26");
    }

    #[test]
    fn what_is_no_timeline_is_refused_and_named() {
        for text in ["", "0", "+1", "-1", "1a", "latest", "4294967296", " 1"] {
            let message = text.parse::<Timeline>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("'{text}' is not a timeline")), "{message}");
        }
    }

    #[test]
    fn serde_stores_the_number_and_refuses_zero() {
        assert_eq!(serde_json::to_string(&Timeline::FIRST).unwrap(), "1");
        assert_eq!(serde_json::from_str::<Timeline>("26").unwrap(), Timeline::new(26).unwrap());
        assert!(serde_json::from_str::<Timeline>("0").is_err());
    }
}
