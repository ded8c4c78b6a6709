//! A codec: a format and the level at which to compress.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::Format;

/// How to compress: a format and, for zstd and gzip, a level.
///
/// As text (the value of `SWIFTWAL_COMPRESSION`): `zstd:1`, `zstd:fast`, `gzip:6`, `lz4`, `none`. Without a level, `zstd`
/// means `zstd:1` and `gzip` means `gzip:6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codec {
    format: Format,
    level: Option<i8>,
}

impl Codec {
    /// Returns the format of the compressed bytes.
    #[must_use]
    pub const fn format(self) -> Format {
        self.format
    }

    /// Returns the level: -1 for zstd's fast one, 0 for a format without levels.
    pub(crate) fn level(self) -> i8 {
        self.level.unwrap_or_default()
    }
}

/// `zstd:1`, which compresses as well as `gzip:6` at several times the speed.
impl Default for Codec {
    fn default() -> Self {
        Format::Zstd.into()
    }
}

/// The format at its default level.
impl From<Format> for Codec {
    fn from(format: Format) -> Self {
        Self { format, level: levels(format).map(|levels| levels.default) }
    }
}

/// The levels of a format.
struct Levels {
    allowed: RangeInclusive<i8>,
    /// The level that is written as `fast`, if there is one.
    fast: Option<i8>,
    default: i8,
}

/// Returns the levels of a format, if it has any. zstd's levels above 9 need tens of megabytes for each core, and gain
/// next to nothing on frames of a few megabytes.
fn levels(format: Format) -> Option<Levels> {
    match format {
        Format::Zstd => Some(Levels { allowed: 1..=9, fast: Some(-1), default: 1 }),
        Format::Gzip => Some(Levels { allowed: 1..=9, fast: None, default: 6 }),
        Format::Lz4 | Format::None => None,
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.format)?;
        match self.level {
            Some(..0) => f.write_str(":fast"),
            Some(level) => write!(f, ":{level}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Codec {
    type Err = ParseCodecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| ParseCodecError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Codec> {
    let Some((name, level)) = text.split_once(':') else {
        return Some(text.parse::<Format>().ok()?.into());
    };
    let format = name.parse().ok()?;
    let levels = levels(format)?;
    let level = match level {
        "fast" => levels.fast?,
        number => number.parse().ok().filter(|level| levels.allowed.contains(level))?,
    };
    Some(Codec { format, level: Some(level) })
}

/// The text isn't the name of a codec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown compression {0:?}: use zstd (or zstd:LEVEL, fast or 1 to 9), gzip (or gzip:LEVEL, 1 to 9), lz4, or none"
)]
pub struct ParseCodecError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_with_its_level() {
        for (text, format, shown) in [
            ("zstd", Format::Zstd, "zstd:1"),
            ("zstd:9", Format::Zstd, "zstd:9"),
            ("zstd:fast", Format::Zstd, "zstd:fast"),
            ("gzip", Format::Gzip, "gzip:6"),
            ("gzip:9", Format::Gzip, "gzip:9"),
            ("lz4", Format::Lz4, "lz4"),
            ("none", Format::None, "none"),
        ] {
            let codec: Codec = text.parse().unwrap();
            assert_eq!((codec.format(), codec.to_string().as_str()), (format, shown));
            assert_eq!(shown.parse(), Ok(codec));
        }
    }

    #[test]
    fn the_default_is_zstd_at_level_1() {
        assert_eq!(Codec::default().to_string(), "zstd:1");
    }

    #[test]
    fn a_wrong_form_is_answered_with_the_right_ones() {
        for text in [
            "",
            "zip",
            "ZSTD",
            "zstd:",
            "zstd:0",
            "zstd:10",
            "zstd:-1",
            "gzip:10",
            "gzip:fast",
            "lz4:1",
            "none:1",
        ] {
            let error = text.parse::<Codec>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("unknown compression {text:?}")), "{error}");
            assert!(
                error.contains("zstd:LEVEL, fast or 1 to 9") && error.contains("gzip:LEVEL, 1 to 9"),
                "{error}"
            );
        }
    }
}
