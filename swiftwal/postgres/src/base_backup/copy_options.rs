//! How the data of a base backup is copied.

use std::{fmt, str::FromStr};

/// How the data of a base backup is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// The most data in a second; `None` for no limit.
    pub max_rate: Option<MaxRate>,
    /// Whether the checksums of the pages aren't verified.
    pub skips_checksums: bool,
}

/// A rate of transfer from 32 KiB to 1 GiB per second: the values that PostgreSQL accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxRate {
    kib: u32,
}

/// A text that isn't a rate of transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a number of kilobytes per second, or a number with k or M, from 32k to 1024M")]
pub struct ParseMaxRateError;

impl MaxRate {
    const RANGE: std::ops::RangeInclusive<u32> = 32..=1 << 20;

    /// Returns the rate in KiB per second.
    pub fn kib(self) -> u32 {
        self.kib
    }

    /// Returns the rate in bytes per second.
    pub fn bytes(self) -> u64 {
        u64::from(self.kib) << 10
    }
}

impl FromStr for MaxRate {
    type Err = ParseMaxRateError;

    /// Parses a rate as `pg_basebackup --max-rate` does, but only integers.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, factor) = match (text.strip_suffix('k'), text.strip_suffix('M')) {
            (Some(digits), _) => (digits, 1),
            (_, Some(digits)) => (digits, 1 << 10),
            (None, None) => (text, 1),
        };
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let kib =
            digits.parse::<u32>().ok().filter(|_| is_number).and_then(|number| number.checked_mul(factor));
        let kib = kib.filter(|kib| Self::RANGE.contains(kib));
        kib.map(|kib| Self { kib }).ok_or(ParseMaxRateError)
    }
}

impl fmt::Display for MaxRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}k", self.kib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_the_units_and_limits_of_pg_basebackup() {
        for (text, kib) in [("32", 32), ("32k", 32), ("1024M", 1 << 20), ("1048576", 1 << 20), ("5M", 5120)] {
            assert_eq!(text.parse::<MaxRate>().unwrap().kib(), kib, "{text}");
        }
        for text in ["", "k", "31", "1025M", "4194304M", "1G", "1m", "+32", "-1", "32 k", "0.5M"] {
            assert_eq!(text.parse::<MaxRate>(), Err(ParseMaxRateError), "{text}");
        }
        assert_eq!("5M".parse::<MaxRate>().unwrap().to_string(), "5120k");
    }
}
