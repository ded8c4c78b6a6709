//! Finds the backup whose key begins with a given text.

use std::{fmt, str::FromStr};

use super::{BackupKey, ParseKeyError};
use crate::{
    error::{Error, Refusal, Result},
    repository::Repository,
};

/// A key without its end, as an administrator types it: `20130828`, `20130828T18`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBeginning(String);

/// How many keys a message names at most.
const MOST_NAMED: usize = 5;

impl FromStr for KeyBeginning {
    type Err = ParseKeyError;

    /// Parses the beginning of a key, also in lower case. A key with its `Z` is complete, and isn't accepted.
    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let upper = text.to_ascii_uppercase();
        let fits = |(place, byte): (usize, u8)| if place == 8 { byte == b'T' } else { byte.is_ascii_digit() };
        if upper.is_empty() || upper.len() > "20130828T181042".len() || !upper.bytes().enumerate().all(fits) {
            return Err(ParseKeyError(text.to_owned()));
        }
        Ok(Self(upper))
    }
}

impl fmt::Display for KeyBeginning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Repository {
    /// Returns the only backup whose key begins with this text. If adding a `Z` makes it a complete key, it means that
    /// key, if such a backup exists or the repository can't be listed.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownBackup`] if no key begins so, [`Error::Refused`] if several do; those of the storage.
    pub async fn backup_beginning_with(&self, beginning: &KeyBeginning) -> Result<BackupKey> {
        let complete: Option<BackupKey> = beginning.0.parse().ok();
        let inventory = match (self.inventory().await, complete) {
            (Ok(inventory), _) => inventory,
            (Err(_), Some(key)) => return Ok(key),
            (Err(error), None) => return Err(error),
        };
        let keys = inventory.backups.iter().map(|backup| backup.key);
        let begin_so: Vec<_> = keys.filter(|key| key.to_string().starts_with(&beginning.0)).collect();
        match (begin_so.as_slice(), complete) {
            (keys, Some(key)) if keys.is_empty() || keys.contains(&key) => Ok(key),
            ([], _) => Err(self.unknown_backup(beginning).await),
            ([key], _) => Ok(*key),
            (keys, _) => Err(Error::Refused(Refusal::AmbiguousKey {
                beginning: beginning.to_string(),
                location: self.location().to_owned(),
                count: keys.len(),
                keys: named(keys),
            })),
        }
    }
}

fn named(keys: &[BackupKey]) -> String {
    let mut names: Vec<_> = keys.iter().take(MOST_NAMED).map(ToString::to_string).collect();
    if keys.len() > MOST_NAMED {
        names.push("…".to_owned());
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_key_is_read_in_lower_case_too() {
        for text in ["2", "2013", "20130828", "20130828t", "20130828T18", "20130828T181042"] {
            let beginning: KeyBeginning = text.parse().unwrap();
            assert_eq!(beginning.to_string(), text.to_uppercase());
        }
    }

    #[test]
    fn what_no_key_begins_with_is_refused() {
        for text in ["", "latest", "2013-08", "20130828T1810Z", "20130828T1810421", "2013082８", "20130828 "]
        {
            assert!(text.parse::<KeyBeginning>().is_err(), "{text}");
        }
    }
}
