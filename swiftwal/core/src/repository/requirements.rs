//! The requirements of a stored file on its readers: a program that doesn't know all of them must not use the file.

use serde::Deserialize;
use swiftwal_postgres::printable;

use crate::{
    error::{Error, Result},
    repository::layout::ObjectName,
};

/// The part of a stored file that lists what its readers must know.
///
/// A program ignores fields that it doesn't know, unless `requires` lists them.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Requirements {
    /// Fields and features without which the rest would be misread.
    #[serde(default)]
    requires: Vec<String>,
    /// The kind of a backup.
    kind: Option<String>,
    /// The compressions of the WAL files.
    #[serde(default)]
    wal_formats: Vec<String>,
}

impl Requirements {
    /// The features that this program knows and may find in a `requires` list: none yet.
    const KNOWN: &[&str] = &[];
    const KINDS: &[&str] = &["full", "incremental"];

    /// Checks the requirements of `content`, which was read from the object `name`.
    ///
    /// # Errors
    ///
    /// [`Error::NotUnderstood`] if this program can't meet them, [`Error::Damaged`] if they can't be parsed.
    pub(crate) fn check(name: &ObjectName, content: &[u8]) -> Result<()> {
        let requirements: Self =
            serde_json::from_slice(content).map_err(|error| Error::damaged(name, error))?;
        match requirements.unknown() {
            None => Ok(()),
            Some(feature) => Err(Error::NotUnderstood { object: name.to_string(), feature }),
        }
    }

    /// Returns the first requirement that this program can't meet.
    fn unknown(&self) -> Option<String> {
        let required = self.requires.iter().find(|required| !Self::KNOWN.contains(&required.as_str()));
        let kind = self.kind.iter().find(|kind| !Self::KINDS.contains(&kind.as_str()));
        let format =
            self.wal_formats.iter().find(|format| format.parse::<swiftwal_compression::Format>().is_err());
        required
            .map(|feature| format!("'{}'", printable(feature)))
            .or_else(|| kind.map(|kind| format!("the kind of backup '{}'", printable(kind))))
            .or_else(|| format.map(|format| format!("the compression '{}'", printable(format))))
    }
}
