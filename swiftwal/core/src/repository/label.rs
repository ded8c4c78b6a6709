//! The backup label that is stored with a backup.

use futures::TryStreamExt;
use swiftwal_compression::{Format, decoder};
use swiftwal_postgres::{
    BackupLabel,
    tar_stream::{Member, TarStream, TarVisitor},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::StreamReader;

use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        backup::ChosenBackup,
        layout::{BackupPart, ObjectName},
    },
};

/// How much of a tar is searched for the label, which is at its start.
const LABEL_WITHIN_BYTES: u64 = 16 << 20;

/// Returns the backup label of `backup`, as PostgreSQL wrote it.
///
/// # Errors
///
/// [`Error::Damaged`] if it is missing or can't be read.
pub(crate) async fn label_of(repository: &Repository, backup: &ChosenBackup) -> Result<BackupLabel> {
    let name = ObjectName::Backup { key: backup.key, part: BackupPart::Label };
    let text = match repository.read(&name).await? {
        Some(text) => text.to_vec(),
        // SwiftWAL 0.2.2 may have crashed before it wrote the label.
        None if backup.record.is_none() => from_tar(repository, backup).await?,
        None => return Err(repository.missing(name)),
    };
    BackupLabel::from_bytes(&text).map_err(|error| Error::damaged(name, error))
}

async fn from_tar(repository: &Repository, backup: &ChosenBackup) -> Result<Vec<u8>> {
    let name = backup.legacy_object();
    let Some(object) = repository.open(&name).await? else { return Err(repository.missing(name)) };
    let stored = object.into_stream().map_err(std::io::Error::from);
    let mut tar = decoder(Format::Gzip, StreamReader::new(stored)).take(LABEL_WITHIN_BYTES);
    let mut finder = LabelFinder::default();
    let mut stream = TarStream::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = tar.read(&mut buffer).await.map_err(|error| repository.unreadable(&name, error))?;
        stream.push(&buffer[..read], &mut finder)?;
        match finder {
            LabelFinder::Found(text) => return Ok(text),
            _ if read == 0 => return Err(Error::damaged(name, "there is no backup_label at its start")),
            _ => {}
        }
    }
}

/// Extracts the label, and nothing else.
#[derive(Debug, Default)]
enum LabelFinder {
    #[default]
    Searching,
    Reading(Vec<u8>),
    Found(Vec<u8>),
}

impl TarVisitor for LabelFinder {
    type Error = Error;

    fn member(&mut self, member: Member) -> Result<()> {
        if member.name == b"backup_label" {
            *self = Self::Reading(Vec::new());
        }
        Ok(())
    }

    fn data(&mut self, data: &[u8]) -> Result<()> {
        if let Self::Reading(text) = self {
            text.extend_from_slice(data);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Self::Reading(text) = self {
            *self = Self::Found(std::mem::take(text));
        }
        Ok(())
    }
}
