//! The names of further contents of a `.partial` or `.backup` file.
//!
//! Two servers may each leave a `.partial` file of the same segment: a standby that was promoted, and later another
//! one. Both files are kept, since recovery reads neither, and a refusal would stop the second server's archiving for
//! ever. receive-wal stores what it has of the segment that it is receiving beside them, as one further content.

use std::{fmt, io::Read, str::FromStr};

use serde::{Serialize, Serializer};
use swiftwal_postgres::WalName;

/// Distinguishes a further content of a `.partial` or `.backup` file from the one that is stored under its plain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WalVariant {
    /// The first 16 hexadecimal digits of the BLAKE3 hash of the uncompressed content.
    Hash(u64),
    /// `received`: the beginning of a segment that receive-wal is receiving, which replaces it again and again.
    Received,
}

impl WalVariant {
    const DIGITS: usize = 16;
    const RECEIVED: &str = "received";

    /// Returns the variant of the content that `content` reads.
    pub(crate) fn of(content: impl Read) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(content)?;
        let hash = hasher.finalize();
        let start = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        Ok(Self::Hash(u64::from_be_bytes(start)))
    }

    /// Whether files of this kind may be stored with several contents. Segments and histories may not: recovery reads
    /// them, and must find the right one.
    pub(crate) fn are_possible(name: WalName) -> bool {
        matches!(name, WalName::Partial(_) | WalName::Backup { .. })
    }

    /// Parses `<NAME>.<variant>`.
    pub(crate) fn parse_name(text: &str) -> Option<(WalName, Self)> {
        let (name, variant) = text.rsplit_once('.')?;
        let name = name.parse().ok().filter(|name| Self::are_possible(*name))?;
        let variant = variant.parse().ok()?;
        (variant != Self::Received || matches!(name, WalName::Partial(_))).then_some((name, variant))
    }
}

impl fmt::Display for WalVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(hash) => write!(f, "{hash:0digits$x}", digits = Self::DIGITS),
            Self::Received => f.write_str(Self::RECEIVED),
        }
    }
}

impl FromStr for WalVariant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::RECEIVED {
            return Ok(Self::Received);
        }
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let digits = Some(text).filter(|text| text.len() == Self::DIGITS && text.bytes().all(is_lower_hex));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self::Hash).ok_or("neither 16 hexadecimal digits in lower case nor `received`")
    }
}

impl Serialize for WalVariant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_recovery_never_asks_for_has_variants() {
        let variant = "0011223344556677";
        for name in ["00000001000000000000005C.partial", "00000001000000000000005C.00000028.backup"] {
            let (parsed, found) = WalVariant::parse_name(&format!("{name}.{variant}")).unwrap();
            assert_eq!((parsed.to_string().as_str(), found.to_string().as_str()), (name, variant));
        }
        for text in [
            "00000001000000000000005C.0011223344556677",
            "00000002.history.0011223344556677",
            "00000001000000000000005C.partial.001122334455667",
            "00000001000000000000005C.partial.00112233445566AA",
            "00000001000000000000005C.partial",
        ] {
            assert_eq!(WalVariant::parse_name(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_partial_segment_can_be_received() {
        let (name, variant) = WalVariant::parse_name("00000001000000000000005C.partial.received").unwrap();
        assert_eq!(name.to_string(), "00000001000000000000005C.partial");
        assert_eq!((variant, variant.to_string().as_str()), (WalVariant::Received, "received"));
        for text in ["00000001000000000000005C.00000028.backup.received", "00000001000000000000005C.received"]
        {
            assert_eq!(WalVariant::parse_name(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_content_is_the_same_variant() {
        let of = |content: &[u8]| WalVariant::of(content).unwrap();
        assert_eq!(of(b"one"), of(b"one"));
        assert_ne!(of(b"one"), of(b"two"));
    }
}
