//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

use crate::text::{hex_u32, serde_as_text};

/// A log sequence number: a byte position in the WAL, written as `0/5C000020`.
///
/// Stored by serde as that string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 as u32)
    }
}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    /// Parses two hexadecimal numbers of one to eight digits, in either case, with a slash between them.
    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let halves =
            text.split_once('/').and_then(|(high, low)| Some((hex_u32(high, true)?, hex_u32(low, true)?)));
        match halves {
            Some((high, low)) => Ok(Self((u64::from(high) << 32) | u64::from(low))),
            None => Err(ParseLsnError { text: text.to_owned() }),
        }
    }
}

serde_as_text!(Lsn);

/// The text isn't an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{}' is not an LSN; an LSN is two hexadecimal numbers with a slash between, such as 0/5C000020",
    crate::printable(text)
)]
pub struct ParseLsnError {
    text: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_lsn_prints_as_postgresql_prints_it() {
        assert_eq!(Lsn(0x5C00_0020).to_string(), "0/5C000020");
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn(u64::MAX).to_string(), "FFFFFFFF/FFFFFFFF");
    }

    #[test]
    fn an_lsn_is_read_in_either_case_and_with_leading_zeros() {
        assert_eq!("0/5c000020".parse(), Ok(Lsn(0x5C00_0020)));
        assert_eq!("00000001/00000002".parse(), Ok(Lsn(0x1_0000_0002)));
    }

    #[test]
    fn what_is_no_lsn_is_refused_and_named() {
        for text in ["", "/", "0/", "/0", "5C000020", "0/+1", "0/5G", "0/123456789", "0/1/2", " 0/1", "0/1 "]
        {
            let message = text.parse::<Lsn>().unwrap_err().to_string();
            assert!(message.starts_with(&format!("'{text}' is not an LSN")), "{message}");
        }
    }

    #[test]
    fn serde_stores_the_printed_form() {
        assert_eq!(serde_json::to_string(&Lsn(0x5C00_0020)).unwrap(), r#""0/5C000020""#);
        assert_eq!(serde_json::from_str::<Lsn>(r#""0/5C000020""#).unwrap(), Lsn(0x5C00_0020));
        assert!(serde_json::from_str::<Lsn>("7").is_err());
    }

    proptest! {
        #[test]
        fn every_lsn_survives_printing_and_reading(lsn: u64) {
            prop_assert_eq!(Lsn(lsn).to_string().parse(), Ok(Lsn(lsn)));
        }
    }
}
