//! How a person names a backup.

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
    /// The newest; with a target, the newest that can reach it.
    Latest,
    /// This one.
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
    /// The backup that was chosen, without regard to any target.
    pub(crate) async fn find(self, repository: &Repository) -> Result<ChosenBackup> {
        // What a newer version stored may not be what it seems.
        repository.cluster().await?;
        match self {
            Self::Latest => newest(repository, &repository.inventory().await?).await,
            Self::Key(key) => ChosenBackup::by_key(repository, key).await,
        }
    }
}

/// The newest backup that can be read, for a command that doesn't restore it.
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
