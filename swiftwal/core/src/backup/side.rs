//! The connection beside a base backup. It checks early what would fail at the end, and makes the server keep the WAL
//! meanwhile.

use std::{convert::Infallible, fmt, future::pending};

use swiftwal_postgres::{BaseBackupSource, ServerSession, SourceErrorKind};

use super::{BackupEvent, BackupOptions, Observe};
use crate::{
    error::{Error, Result},
    repository::{
        Repository,
        cluster::{ClusterIdentity, ClusterInfo},
        preflight::{Finding, preflight},
    },
};

/// The connection, and what it has shown about the server.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// The session, if it is useful during the copy.
    session: Option<Box<dyn ServerSession>>,
    /// Notices of what couldn't be checked, or which WAL isn't kept, for the time when the copy begins. If the server
    /// can't be reached at all, the error of the backup itself is clearer.
    pub(super) doubts: Vec<String>,
    /// The server's cluster, if it is known.
    pub(super) identity: Option<ClusterIdentity>,
}

/// Checks what can be known before the copy, and makes the server keep the WAL that goes into the backup.
///
/// # Errors
///
/// [`Error::Refused`] if a backup couldn't be completed.
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
        Err(error) if error.kind() == SourceErrorKind::Tablespaces => return Err(error.into()),
        Err(error) => {
            side.doubts.push(format!(
                "the server and its archiving couldn't be checked before the copy: {}",
                Error::from(error).in_full()
            ));
            return Ok(side);
        }
    };
    for finding in preflight(session.facts(), cluster, repository.location(), options.include_wal) {
        match finding {
            Finding::Obstacle(refusal) => return Err(refusal.into()),
            Finding::Doubt(text) => side.doubts.push(text),
        }
    }
    side.identity = ClusterIdentity::of_server(session.facts());
    if options.include_wal {
        side.hold_wal(session).await;
    } else {
        session.end().await;
    }
    Ok(side)
}

impl Side {
    /// Closes the connection, so that the server has room for that of the copy. Returns whether there was one.
    pub(super) async fn give_way(&mut self, error: &Error) -> bool {
        let Error::Source(refusal) = error else { return false };
        if refusal.kind() != SourceErrorKind::Unavailable {
            return false;
        }
        if self.session.is_none() {
            return false;
        }
        self.end().await;
        self.doubts.push(not_held(&"the server has no room for two replication connections"));
        true
    }

    async fn hold_wal(&mut self, mut session: Box<dyn ServerSession>) {
        match session.hold_wal().await {
            Ok(()) => self.session = Some(session),
            Err(error) => self.doubts.push(not_held(&error)),
        }
    }

    /// Ends the connection.
    pub(super) async fn end(&mut self) {
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }
}

/// Keeps the session open, as long as this is polled, and reports if it is lost.
pub(super) async fn keep(side: &mut Side, observe: Observe<'_>) -> Infallible {
    if let Some(session) = &mut side.session {
        let error = session.keep_alive().await;
        observe(BackupEvent::Warning(&not_held(&error)));
    }
    pending().await
}

fn not_held(reason: &dyn fmt::Display) -> String {
    format!(
        "no replication slot keeps the server from removing WAL ({reason}): if it removes some before the end of the copy, \
         the backup fails; wal_keep_size prevents that"
    )
}
