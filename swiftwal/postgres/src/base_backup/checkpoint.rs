//! The mode of the checkpoint of a base backup.

use std::{fmt, str::FromStr};

/// The mode of the checkpoint that a backup starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checkpoint {
    /// At once, which causes a burst of writes.
    Fast,
    /// Spread over `checkpoint_completion_target` of `checkpoint_timeout`: minutes, not seconds.
    #[default]
    Spread,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fast => "fast",
            Self::Spread => "spread",
        })
    }
}

impl FromStr for Checkpoint {
    type Err = ParseCheckpointError;

    fn from_str(text: &str) -> Result<Self, ParseCheckpointError> {
        match text {
            "fast" => Ok(Self::Fast),
            "spread" => Ok(Self::Spread),
            _ => Err(ParseCheckpointError { text: text.to_owned() }),
        }
    }
}

/// The text isn't a checkpoint mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{}' is not a checkpoint mode; use fast or spread", crate::printable(text))]
pub struct ParseCheckpointError {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_mode_is_read_as_it_is_printed_and_spread_by_default() {
        for mode in [Checkpoint::Fast, Checkpoint::Spread] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert!("Fast".parse::<Checkpoint>().is_err());
        assert_eq!(Checkpoint::default(), Checkpoint::Spread);
    }
}
