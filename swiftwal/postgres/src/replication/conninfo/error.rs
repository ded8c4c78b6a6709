//! The errors of connection settings.

use std::{io, path::Path, path::PathBuf};

use crate::printable;

/// Connection settings that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnInfoError {
    /// The connection string can't be parsed.
    #[error("{0}")]
    Syntax(String),
    /// libpq has no such keyword.
    #[error("invalid connection option \"{0}\"")]
    UnknownKeyword(String),
    /// libpq has this setting, but this client doesn't support it, or not with this value.
    #[error("the connection setting {setting} is not supported by this client")]
    Unsupported {
        /// The keyword, with the value if others are supported.
        setting: String,
    },
    /// The value of a setting is invalid, or doesn't fit another one.
    #[error("{0}")]
    Value(String),
    /// The service isn't defined, or its file is damaged.
    #[error("{0}")]
    Service(String),
    /// A file that a setting names can't be read.
    #[error("can't read {}", printable(path.as_os_str().as_encoded_bytes()))]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl ConnInfoError {
    /// Returns what to do about the error.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported { .. } => Some("use --method pg_basebackup, which supports it by libpq"),
            _ => None,
        }
    }

    pub(super) fn unknown(keyword: &str) -> Self {
        Self::UnknownKeyword(printable(keyword).to_string())
    }

    pub(super) fn syntax(problem: &str, text: &str) -> Self {
        Self::Syntax(format!("{problem}: \"{}\"", printable(text)))
    }

    /// Only keywords of which a certain value is harmless are shown with their value: the others may be secrets.
    pub(super) fn unsupported(keyword: &'static str, value: &str) -> Self {
        let shows_value =
            super::keywords::Keyword::find(keyword).is_some_and(|known| known.has_supported_value());
        let setting =
            if shows_value { format!("{keyword}={}", printable(value)) } else { keyword.to_owned() };
        Self::Unsupported { setting }
    }

    pub(super) fn value(keyword: &str, value: &str) -> Self {
        Self::Value(format!("invalid {keyword} value: \"{}\"", printable(value)))
    }

    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}
