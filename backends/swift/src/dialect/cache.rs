//! What was learned about a cluster, on disk, for the next process of this user.

use std::{io, path::PathBuf};

use super::known::Known;
use crate::private_directory::PrivateDirectory;

/// More than the file has: `/info` names some storage policies.
const MOST_BYTES: u64 = 1 << 20;

/// A file beside the cached tokens. A failure to read or write it costs requests, and is logged.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PrivateDirectory,
    /// The name of the file.
    name: String,
}

impl Cache {
    /// `account` is the fingerprint of the account.
    pub(super) fn new(directory: PathBuf, account: &str) -> Self {
        Self { directory: PrivateDirectory::new(directory), name: format!("dialect-{account}.json") }
    }

    pub(super) fn load(&self) -> Option<Known> {
        match self.directory.read(&self.name, MOST_BYTES) {
            Ok(text) => serde_json::from_slice(&text).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.log("read", &error);
                None
            }
        }
    }

    pub(super) fn store(&self, known: &Known) {
        let text = serde_json::to_vec(known).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| self.directory.replace(&self.name, &text)) {
            self.log("write", &error);
        }
    }

    /// The token cache is in the same directory, and warns of its faults.
    fn log(&self, verb: &str, error: &io::Error) {
        let directory = self.directory.path().display();
        tracing::debug!(%directory, %error, "can't {verb} what the cluster can do");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path().join("tokens"), "a");
        cache.store(&Known { keeps_existing: Some(false), ..Known::default() });
        assert_eq!(cache.load().unwrap().keeps_existing, Some(false));
        fs::write(cache.directory.path().join(&cache.name), "{\"server\":").unwrap();
        assert!(cache.load().is_none());
    }
}
