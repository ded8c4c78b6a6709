//! The names of further contents of a `.partial` or `.backup` file.
//!
//! Two servers may each leave a `.partial` file of the same segment: a standby that was promoted, and later another
//! one. Both files are kept, since recovery reads neither, and a refusal would stop the second server's archiving for
//! ever.

use std::{fmt, io::Read, str::FromStr};

use serde::{Serialize, Serializer};
use swiftwal_postgres::WalName;

/// Distinguishes a further content of a `.partial` or `.backup` file from the one that is stored under its plain name:
/// the first 16 hexadecimal digits of the BLAKE3 hash of the uncompressed content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WalVariant(u64);

impl WalVariant {
    const DIGITS: usize = 16;

    /// Returns the variant of the content that `content` reads.
    pub(crate) fn of(content: impl Read) -> std::io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(content)?;
        let hash = hasher.finalize();
        let start = hash.as_bytes().first_chunk().copied().unwrap_or_default();
        Ok(Self(u64::from_be_bytes(start)))
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
        Some((name, variant.parse().ok()?))
    }
}

impl fmt::Display for WalVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0digits$x}", self.0, digits = Self::DIGITS)
    }
}

impl FromStr for WalVariant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let digits = Some(text).filter(|text| text.len() == Self::DIGITS && text.bytes().all(is_lower_hex));
        let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.map(Self).ok_or("not 16 hexadecimal digits in lower case")
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
    fn the_same_content_is_the_same_variant() {
        let of = |content: &[u8]| WalVariant::of(content).unwrap();
        assert_eq!(of(b"one"), of(b"one"));
        assert_ne!(of(b"one"), of(b"two"));
    }
}
