//! The end of a backup: every object gets its name, the commit record last.

use object_store::{PutMode, PutPayload};

use super::{claim::Claim, draft::Draft, store::Uploads, upload::recorded};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        PutOutcome, Repository,
        layout::{BackupPart, ObjectName},
        record::{BackupRecord, RecordedObject},
    },
};

/// Gives every object but the commit record its name, and returns the record to write.
pub(super) async fn publish(
    repository: &Repository,
    draft: Draft,
    uploads: Uploads<'_>,
) -> Result<BackupRecord> {
    // Both run to their ends, even if one fails: a put that is still running would outlast the cleanup.
    let (uploaded, label) = tokio::join!(uploads.finish(), store_label(repository, &draft));
    let objects = uploaded?.into_iter().chain([label?]).collect();
    Ok(BackupRecord { objects, ..draft.record })
}

/// Stores the label and returns its entry for the record.
async fn store_label(repository: &Repository, draft: &Draft) -> Result<RecordedObject> {
    let name = ObjectName::Backup { key: draft.record.key, part: BackupPart::Label };
    let label = draft.label.as_bytes();
    let recorded = recorded(&name, label.len() as u64, blake3::Hasher::new().update(label));
    repository.put_new(&name, PutPayload::from(label.to_vec())).await?;
    Ok(recorded)
}

/// Commits the backup, right after all of it was stored or proven to exist.
pub(super) async fn commit(repository: &Repository, record: &BackupRecord, claim: &Claim<'_>) -> Result<()> {
    let name = BackupRecord::object_name(record.key);
    let bytes = record.to_bytes().map_err(|error| Error::damaged(&name, error))?;
    claim.ensure_held().await?;
    claim.note_record_sent();
    let written = match repository.put(&name, bytes.into(), PutMode::Create).await {
        Ok(PutOutcome::Stored) => return Ok(()),
        Ok(PutOutcome::NameTaken) => Error::Refused(Refusal::Overtaken {
            what: format!("{name} was written by another process and is kept; this backup was abandoned"),
            hint: None,
        }),
        Err(error) => error,
    };
    // The record may have been stored although the response was lost.
    match repository.record(record.key).await {
        Ok(stands) if stands == *record => Ok(()),
        _ => Err(written),
    }
}
