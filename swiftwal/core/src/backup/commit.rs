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
    if let Some(parent) = record.parent {
        claim.ensure_parent_stands(parent).await?;
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;
    use object_store::memory::InMemory;

    use super::*;
    use crate::{local::clock::SystemClock, storage::Storage};

    fn record(claim: &Claim<'_>, label: &str) -> BackupRecord {
        serde_json::from_value(serde_json::json!({
            "key": claim.key, "kind": "full", "label": label,
            "started": "2013-08-28T18:10:42Z", "finished": "2013-08-28T18:10:43Z",
            "system_identifier": "1", "postgres_version": "15", "wal_segment_bytes": 16_777_216,
            "timeline": 1, "start_lsn": "0/2000028", "stop_lsn": "0/2000100",
            "first_wal": "000000010000000000000002", "last_wal": "000000010000000000000002",
            "includes_wal": true, "objects": [], "written_by": "a test",
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_record_that_another_process_wrote_is_kept_and_ones_own_is_known_again() {
        let storage = Storage::new(Arc::new(InMemory::new()));
        let repository = Repository::new(storage, "a test", Arc::new(SystemClock));
        let claim = Claim::take(&repository, Timestamp::UNIX_EPOCH).await.unwrap();
        let (first, second) = (record(&claim, "first"), record(&claim, "second"));
        commit(&repository, &first, &claim).await.unwrap();
        // For example, the first response was lost and the request sent again.
        commit(&repository, &first, &claim).await.unwrap();
        let error = commit(&repository, &second, &claim).await.unwrap_err();
        assert!(error.to_string().contains("was written by another process and is kept"), "{error}");
        assert_eq!(repository.record(claim.key).await.unwrap(), first);
    }
}
