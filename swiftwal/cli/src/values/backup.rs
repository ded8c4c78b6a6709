//! The argument that names a backup.

use std::str::FromStr;

use swiftwal_core::{BackupChoice, KeyBeginning, ParseKeyError, Repository, Result};

/// The backup that an argument names: `latest`, a key, or the beginning of a key.
#[derive(Clone, Debug)]
pub(crate) enum BackupArg {
    Choice(BackupChoice),
    Beginning(KeyBeginning),
}

impl FromStr for BackupArg {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        // A text may be both a complete key and the beginning of another one: 20130828T1810 of 20130828T181042Z.
        match (text.parse(), text.parse()) {
            (_, Ok(beginning)) => Ok(Self::Beginning(beginning)),
            (choice, Err(_)) => choice.map(Self::Choice),
        }
    }
}

impl BackupArg {
    /// Whether it is `latest`.
    pub(crate) fn is_latest(&self) -> bool {
        matches!(self, Self::Choice(BackupChoice::Latest))
    }

    /// Returns the backup. The repository is asked only if the key isn't complete.
    pub(crate) async fn resolve(self, repository: &Repository) -> Result<BackupChoice> {
        match self {
            Self::Choice(choice) => Ok(choice),
            Self::Beginning(beginning) => {
                Ok(BackupChoice::Key(repository.backup_beginning_with(&beginning).await?))
            }
        }
    }
}
