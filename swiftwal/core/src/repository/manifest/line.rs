//! The lines of PostgreSQL's manifest that list files.

use std::io;

use serde::Deserialize;

use crate::repository::index::MemberName;

/// The beginnings of a line that lists a file.
pub(super) const BEGINNINGS: [&[u8]; 2] = [b"{ \"Path\":", b"{ \"Encoded-Path\":"];

/// The name of a file, as text or in hexadecimal digits.
#[derive(Deserialize)]
pub(super) struct ListedName {
    #[serde(rename = "Path")]
    pub(super) path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    pub(super) encoded_path: Option<String>,
}

/// Returns the name of the file in a line.
pub(super) fn name_in(line: &[u8]) -> io::Result<Vec<u8>> {
    let listed: ListedName = serde_json::from_slice(object_in(line))?;
    listed.name()
}

/// Returns the JSON object in a line.
pub(super) fn object_in(line: &[u8]) -> &[u8] {
    let line = line.trim_ascii_end();
    line.strip_suffix(b",").unwrap_or(line)
}

impl ListedName {
    pub(super) fn name(self) -> io::Result<Vec<u8>> {
        let name = match (self.path, self.encoded_path) {
            (Some(path), None) => Some(path.into_bytes()),
            (None, Some(hex)) => MemberName::from_hex(&hex).map(|name| name.0),
            _ => None,
        };
        name.ok_or_else(|| invalid("it has a file without a name"))
    }
}

/// Returns the error for a line that PostgreSQL doesn't write.
pub(super) fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
