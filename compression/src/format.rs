//! The compression formats of stored files.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The compression format of a stored file, which the suffix of its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Zstandard (RFC 8878), the default.
    Zstd,
    /// gzip (RFC 1952).
    Gzip,
    /// The LZ4 frame format, not the legacy one of `lz4 -l`.
    Lz4,
    /// The bytes unchanged.
    None,
}

impl Format {
    /// Every format, in the order in which a reader should look for a file.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Gzip, Self::Lz4, Self::None];

    /// Returns the suffix of a file's name: `.zst`, `.gz`, `.lz4`, or nothing.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
            Self::Lz4 => ".lz4",
            Self::None => "",
        }
    }

    /// Returns the name in text and in serde: `zstd`, `gzip`, `lz4`, `none`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = ParseFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == text)
            .ok_or_else(|| ParseFormatError(text.to_owned()))
    }
}

/// The text isn't the name of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown compression format {0:?}: the formats are zstd, gzip, lz4 and none")]
pub struct ParseFormatError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_its_format() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
    }

    #[test]
    fn serde_uses_the_displayed_name() {
        for format in Format::ALL {
            assert_eq!(serde_json::to_string(&format).unwrap(), format!("\"{format}\""));
            assert_eq!(serde_json::from_str::<Format>(&format!("\"{format}\"")).unwrap(), format);
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = "Zstd".parse::<Format>().unwrap_err().to_string();
        assert_eq!(error, "unknown compression format \"Zstd\": the formats are zstd, gzip, lz4 and none");
    }
}
