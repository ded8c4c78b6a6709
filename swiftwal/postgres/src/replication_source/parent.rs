//! Sends the parent's manifest to the server before an incremental backup, and recognises its refusals.

use std::io;

use super::failure::failed;
use crate::{
    ParentManifest, SourceError, SourceErrorKind,
    replication::{ManifestUpload, ReplicationError, Session},
};

/// The SQLSTATE of a server whose state doesn't allow the backup: WAL summaries are missing, the parent is on a timeline
/// that isn't an ancestor, or a standby has made no restartpoint since.
const NOT_IN_PREREQUISITE_STATE: &str = "55000";

/// Sends the manifest. The server checks it at once.
pub(super) async fn upload(session: &mut Session, manifest: &ParentManifest) -> Result<(), SourceError> {
    let mut upload = ManifestUpload::start(session).await.map_err(not_accepted)?;
    let mut sent = 0;
    loop {
        let piece = manifest.read_at(sent).await.map_err(unreadable)?;
        if piece.is_empty() {
            break;
        }
        upload.send(&piece).await.map_err(failed)?;
        sent += piece.len() as u64;
    }
    upload.finish().await.map_err(not_accepted)
}

/// The error of an incremental backup that didn't begin.
pub(super) fn refused(error: ReplicationError) -> SourceError {
    if error.code() != Some(NOT_IN_PREREQUISITE_STATE) {
        return failed(error);
    }
    not_incremental(error)
}

/// The error of a manifest that wasn't accepted.
fn not_accepted(error: ReplicationError) -> SourceError {
    match error {
        ReplicationError::Server(_) | ReplicationError::Version { .. } => not_incremental(error),
        error => failed(error),
    }
}

fn not_incremental(error: ReplicationError) -> SourceError {
    let hint = error.hint().unwrap_or("take a full backup").to_owned();
    SourceError::new(SourceErrorKind::NotIncremental, "the server can't take this incremental backup")
        .with_hint(hint)
        .caused_by(error)
}

fn unreadable(error: io::Error) -> SourceError {
    SourceError::new(SourceErrorKind::Failed, "can't read the copy of the parent's manifest").caused_by(error)
}
