//! The second connection to the server, beside that of the copy. It checks early what would fail at the end. With `--xlog`
//! it makes the server keep the WAL until the copy has ended; during the backup of a standby it notices a promotion.

use std::{fmt, future::pending, time::Duration};

use swiftwal_postgres::{BaseBackupSource, ServerFacts, ServerSession, SourceErrorKind};
use tokio::time::{Instant, sleep};

use super::{BackupEvent, BackupOptions, Observe};
use crate::{
    error::{Error, Refusal, Result},
    repository::{
        Repository,
        cluster::{ClusterIdentity, ClusterInfo},
        preflight::{Finding, preflight},
    },
};

/// How long a server may take to notice that a connection was closed.
const NOTICED_WITHIN: Duration = Duration::from_secs(10);
/// The pause between two requests meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// How often the server is asked whether it is still a standby, also so that neither `idle_session_timeout` nor a firewall
/// ends the session.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The second connection, and what it has shown about the server.
#[derive(Debug, Default)]
pub(super) struct SecondConnection {
    /// The session, if it is useful during the copy.
    session: Option<Box<dyn ServerSession>>,
    /// Whether it makes the server keep the WAL.
    holds_wal: bool,
    /// When it was closed for that of the copy.
    gave_way: Option<Instant>,
    /// What couldn't be checked, and which WAL isn't kept. It is reported when the copy begins: if the server can't be
    /// reached at all, the error of the backup itself is clearer.
    pub(super) warnings: Vec<String>,
    /// The facts that the server reported.
    pub(super) facts: Option<ServerFacts>,
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
) -> Result<SecondConnection> {
    let mut connection = SecondConnection::default();
    let session = match source.connect().await {
        Ok(Some(session)) => session,
        Ok(None) => return Ok(connection),
        Err(error) if error.kind() == SourceErrorKind::Tablespaces => return Err(error.into()),
        Err(error) => {
            connection.warnings.push(format!(
                "the server and its archiving couldn't be checked before the copy: {}",
                Error::from(error).in_full()
            ));
            return Ok(connection);
        }
    };
    for finding in preflight(session.facts(), cluster, repository.location(), options.include_wal) {
        match finding {
            Finding::Obstacle(refusal) => return Err(refusal.into()),
            Finding::Warning(text) => connection.warnings.push(text),
        }
    }
    connection.facts = Some(session.facts().clone());
    connection.session = Some(session);
    if options.include_wal {
        connection.hold_wal().await;
    }
    if !connection.holds_wal && !connection.is_standby() {
        connection.end().await;
    }
    Ok(connection)
}

impl SecondConnection {
    /// Returns the server's cluster, if it is known.
    pub(super) fn identity(&self) -> Option<ClusterIdentity> {
        self.facts.as_ref().and_then(ClusterIdentity::of_server)
    }

    /// Whether the server is known to be a standby.
    pub(super) fn is_standby(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.is_standby == Some(true))
    }

    /// Closes the connection, so that the server has room for that of the copy. Returns whether the backup can be requested
    /// again: there was a connection, or the server may not have noticed its end.
    pub(super) async fn give_way(&mut self, error: &Error) -> bool {
        let Error::Source(refusal) = error else { return false };
        if refusal.kind() != SourceErrorKind::Unavailable {
            return false;
        }
        if self.session.is_none() {
            let may_be_noticed = self.gave_way.is_some_and(|closed| closed.elapsed() < NOTICED_WITHIN);
            if may_be_noticed {
                sleep(PAUSE).await;
            }
            return may_be_noticed;
        }
        if self.holds_wal {
            self.warnings.push(not_held(&"the server has no room for two replication connections"));
        }
        self.end().await;
        self.gave_way = Some(Instant::now());
        true
    }

    async fn hold_wal(&mut self) {
        let Some(session) = &mut self.session else { return };
        match session.hold_wal().await {
            Ok(()) => self.holds_wal = true,
            Err(error) => self.warnings.push(not_held(&error)),
        }
    }

    /// Ends the connection.
    pub(super) async fn end(&mut self) {
        self.holds_wal = false;
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }
}

/// Keeps the session open, as long as this is polled, and reports if it is lost. Returns only if the standby whose backup is
/// taken was promoted.
pub(super) async fn keep(connection: &mut SecondConnection, observe: Observe<'_>) -> Refusal {
    let was_standby = connection.is_standby();
    let Some(session) = &mut connection.session else { return pending().await };
    let lost = loop {
        sleep(HEARTBEAT).await;
        match session.is_standby().await {
            Ok(Some(false)) if was_standby => return Refusal::StandbyPromoted,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    if connection.holds_wal {
        observe(BackupEvent::Warning(&not_held(&lost)));
    }
    pending().await
}

fn not_held(reason: &dyn fmt::Display) -> String {
    format!(
        "no replication slot keeps the server from removing WAL ({reason}): if it removes some before the end of the copy, \
         the backup fails; wal_keep_size prevents that"
    )
}
