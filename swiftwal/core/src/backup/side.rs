//! The connection beside a base backup: it tells beforehand what would fail at the end, and holds the WAL meanwhile.

use std::{convert::Infallible, future::pending};

use swiftwal_postgres::{BaseBackupSource, ServerSession};

use super::{BackupEvent, BackupOptions, Observe};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        cluster::ClusterInfo,
        preflight::{Finding, preflight},
    },
};

/// What comes of looking at the server before the copy.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// Where it is of use during the copy.
    session: Option<Box<dyn ServerSession>>,
    /// What couldn't be checked or held: for when the copy begins. If the server can't be reached at all, the backup itself
    /// says so in better words.
    doubts: Vec<String>,
}

/// Checks what can be known before the copy, and has the server hold the WAL that goes into the backup.
///
/// # Errors
/// [`Error::Refused`] where a backup would come to nothing.
pub(super) async fn prepare(
    repository: &Repository,
    cluster: Option<&ClusterInfo>,
    source: &dyn BaseBackupSource,
    options: &BackupOptions,
) -> Result<Side> {
    let mut side = Side::default();
    let session = match source.connect().await {
        Ok(Some(session)) => session,
        Ok(None) => return Ok(side),
        Err(error) => {
            side.doubts
                .push(format!("the server and its archiving couldn't be checked before the copy: {error}"));
            return Ok(side);
        }
    };
    for finding in preflight(session.facts(), cluster, repository.location(), options.include_wal) {
        match finding {
            Finding::Obstacle(text) => return Err(Error::Refused(text)),
            Finding::Doubt(text) => side.doubts.push(text),
        }
    }
    if options.include_wal {
        side.hold_wal(session).await;
    }
    Ok(side)
}

impl Side {
    async fn hold_wal(&mut self, mut session: Box<dyn ServerSession>) {
        match session.hold_wal().await {
            Ok(()) => self.session = Some(session),
            Err(error) => self.doubts.push(not_held(&error)),
        }
    }

    /// What the administrator should know once the copy has begun.
    pub(super) fn take_doubts(&mut self) -> Vec<String> {
        std::mem::take(&mut self.doubts)
    }
}

/// Keeps the session, as long as it is polled, and says if it is lost.
pub(super) async fn keep(side: Side, observe: Observe<'_>) -> Infallible {
    if let Some(mut session) = side.session {
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
