//! The choice of a backup by its key, or of the newest one.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        inventory::Inventory,
        key::{BackupKey, ParseKeyError},
        timelines::{Content, read_all},
    },
};

/// The choice of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackupChoice {
    /// The newest one; with a target, the newest one that can reach it.
    Latest,
    /// The one with this key.
    Key(BackupKey),
}

impl FromStr for BackupChoice {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        if text.eq_ignore_ascii_case("latest") { Ok(Self::Latest) } else { text.parse().map(Self::Key) }
    }
}

impl fmt::Display for BackupChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Key(key) => key.fmt(f),
        }
    }
}

impl BackupChoice {
    /// Returns the chosen backup, regardless of any target.
    pub(crate) async fn find(self, repository: &Repository) -> Result<ChosenBackup> {
        // A newer version may have given objects another meaning.
        repository.cluster().await?;
        match self {
            Self::Latest => newest(repository, &repository.inventory().await?).await,
            Self::Key(key) => ChosenBackup::by_key(repository, key).await,
        }
    }
}

/// Returns the newest readable backup, for a command that doesn't restore it.
async fn newest(repository: &Repository, inventory: &Inventory) -> Result<ChosenBackup> {
    for listed in read_all(repository, inventory).await?.into_iter().rev() {
        match listed.content {
            Content::Backup(backup) => return Ok(backup),
            Content::Unreadable(error) => return Err(error),
            Content::NoBackup(_) => {}
        }
    }
    Err(Error::NoBackup { location: repository.location().to_owned() })
}
