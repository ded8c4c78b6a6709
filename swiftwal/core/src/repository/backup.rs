//! A backup of the repository, and how a person names one.

use std::{fmt, str::FromStr};

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        inventory::Inventory,
        key::{BackupKey, ParseKeyError},
        layout::ObjectName,
        legacy,
        record::{BackupKind, BackupRecord},
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

/// A backup that exists.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChosenBackup {
    /// Its name.
    pub key: BackupKey,
    /// Its commit record; none for a backup of SwiftWAL 0.2.2.
    pub record: Option<BackupRecord>,
}

impl ChosenBackup {
    /// The backup that was chosen, without regard to any target.
    pub(crate) async fn find(repository: &Repository, choice: BackupChoice) -> Result<Self> {
        // What a newer version stored may not be what it seems.
        repository.cluster().await?;
        let BackupChoice::Key(key) = choice else {
            let inventory = repository.inventory().await?;
            return newest(repository, &inventory).await;
        };
        Self::by_key(repository, key).await
    }

    /// A backup that `inventory` shows.
    pub(crate) async fn listed(
        repository: &Repository,
        inventory: &Inventory,
        key: BackupKey,
    ) -> Result<Self> {
        let legacy = inventory.backups.iter().any(|backup| backup.key == key && backup.legacy);
        let record = if legacy { None } else { Some(repository.record(key).await?) };
        Ok(Self { key, record })
    }

    /// The backup `key`, asked for by its name. A listing is wanted only where it has no commit record.
    pub(crate) async fn by_key(repository: &Repository, key: BackupKey) -> Result<Self> {
        if let Some(record) = repository.record_if_there(key).await? {
            return Ok(Self { key, record: Some(record) });
        }
        let is_legacy = match repository.inventory().await {
            Ok(inventory) => inventory.backups.iter().any(|backup| backup.key == key && backup.legacy),
            Err(_) => legacy::is_there(repository, key).await?,
        };
        if is_legacy { Ok(Self { key, record: None }) } else { Err(repository.unknown_backup(key).await) }
    }

    /// Refuses what this version can't restore by itself.
    ///
    /// # Errors
    /// [`Error::Refused`] for an incremental backup.
    pub(crate) fn refuse_incremental(&self) -> Result<()> {
        let Some(BackupRecord { kind: BackupKind::Incremental, parent, .. }) = self.record else {
            return Ok(());
        };
        let parent = parent.map_or_else(String::new, |parent| format!(" (it builds on {parent})"));
        Err(Error::Refused(format!(
            "backup {} is incremental{parent}, and this version restores full backups only; use a newer swiftwal, or \
             restore a full backup by its key",
            self.key
        )))
    }

    /// The object that holds the whole of a backup of SwiftWAL 0.2.2.
    pub(crate) fn legacy_object(&self) -> ObjectName {
        legacy::object(self.key)
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
