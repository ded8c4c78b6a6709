//! label: returns the backup label of a backup.

use swiftwal_postgres::BackupLabel;

use crate::{
    error::Result,
    repository::{Repository, choice::BackupChoice, label::label_of},
};

/// Returns the backup label of a backup, as PostgreSQL wrote it.
///
/// # Errors
///
/// [`Error::UnknownBackup`](crate::Error::UnknownBackup); [`Error::Damaged`](crate::Error::Damaged) if it can't be
/// read.
pub async fn label(repository: &Repository, choice: BackupChoice) -> Result<BackupLabel> {
    label_of(repository, &choice.find(repository).await?).await
}
