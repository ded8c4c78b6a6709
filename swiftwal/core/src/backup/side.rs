//! The connection beside a base backup: it tells beforehand what would fail at the end, and holds the WAL meanwhile.

use std::{convert::Infallible, future::pending};

use swiftwal_postgres::{BaseBackupSource, ServerSession};

use super::{BackupEvent, BackupOptions, Observe};
use crate::{ClusterInfo, Error, Finding, Repository, Result, preflight::preflight};

/// The session, where it is of use during the copy.
pub(super) type Side = Option<Box<dyn ServerSession>>;

/// Checks what can be known before the copy, and has the server hold the WAL that goes into the backup.
///
/// What can't be checked is told and stops nothing: if the server can't be reached, the backup itself says so in better
/// words.
///
/// # Errors
/// [`Error::Refused`] where a backup would come to nothing.
pub(super) async fn prepare(
    repository: &Repository,
    cluster: Option<&ClusterInfo>,
    source: &dyn BaseBackupSource,
    options: &BackupOptions,
    observe: Observe<'_>,
) -> Result<Side> {
    let session = match source.connect().await {
        Ok(Some(session)) => session,
        Ok(None) => return Ok(None),
        Err(error) => {
            observe(BackupEvent::Warning(&format!(
                "the server and its archiving couldn't be checked before the copy: {error}"
            )));
            return Ok(None);
        }
    };
    for finding in preflight(session.facts(), cluster, repository.location(), options.include_wal) {
        match finding {
            Finding::Obstacle(text) => return Err(Error::Refused(text)),
            Finding::Doubt(text) => observe(BackupEvent::Warning(&text)),
        }
    }
    if options.include_wal { Ok(hold_wal(session, observe).await) } else { Ok(None) }
}

async fn hold_wal(mut session: Box<dyn ServerSession>, observe: Observe<'_>) -> Side {
    match session.hold_wal().await {
        Ok(()) => Some(session),
        Err(error) => {
            observe(BackupEvent::Warning(&not_held(&error)));
            None
        }
    }
}

/// Keeps the session, as long as it is polled, and says if it is lost.
pub(super) async fn keep(side: Side, observe: Observe<'_>) -> Infallible {
    if let Some(mut session) = side {
        let error = session.keep_alive().await;
        observe(BackupEvent::Warning(&not_held(&error)));
    }
    pending().await
}

fn not_held(error: &swiftwal_postgres::SourceError) -> String {
    format!(
        "the server isn't kept from removing WAL by a replication slot ({error}): if it removes some before the end of the \
         copy, the backup fails; wal_keep_size prevents that"
    )
}
