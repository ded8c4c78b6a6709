//! The server that a receiver of WAL is connected to: its identity, and the connection to it.
//!
//! A receiver connects again after every interruption, and each time may find another server: a standby that was
//! promoted, a server that was demoted, or another cluster at the same address. So all of this is read at each connect.

use crate::{
    Connector, Lsn, SegmentSize, SourceError, SourceErrorKind, Timeline,
    replication::{ReplicationError, Session},
    replication_source::{
        failure::{connecting, kind},
        session::is_standby,
    },
    server_facts::{major_version, segment_size},
};

/// What a server says of itself and of its WAL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WalServer {
    /// The system identifier of the cluster.
    pub system_identifier: u64,
    /// The server's current timeline.
    pub timeline: Timeline,
    /// The end of the WAL that it has flushed.
    pub flushed: Lsn,
    /// The size of a WAL segment.
    pub segment_size: SegmentSize,
    /// The major version, as in `PG_VERSION`.
    pub postgres_version: Option<String>,
    /// Whether it is in recovery; `None` if it doesn't say so.
    pub is_standby: Option<bool>,
}

impl WalServer {
    /// Connects to the first host that is reached and fits, and asks it who it is.
    ///
    /// # Errors
    ///
    /// [`SourceErrorKind::Unavailable`] if it may succeed later.
    pub async fn connect(connector: &Connector) -> Result<(Session, Self), SourceError> {
        let mut session = connector.replication().await.map_err(connecting)?;
        let server = Self::identify(&mut session).await.map_err(receiving)?;
        Ok((session, server))
    }

    /// Whether `other` is of the same cluster, and on the same timeline.
    pub fn is_same_as(&self, other: &Self) -> bool {
        (self.system_identifier, self.timeline) == (other.system_identifier, other.timeline)
    }

    async fn identify(session: &mut Session) -> Result<Self, ReplicationError> {
        let identity = session.identify_system().await?;
        let size = session.show("wal_segment_size").await?;
        Ok(Self {
            system_identifier: identity.system_identifier,
            timeline: identity.timeline,
            flushed: identity.flushed,
            segment_size: segment_size(&size)
                .ok_or_else(|| ReplicationError::Protocol(format!("wal_segment_size is {size}")))?,
            postgres_version: major_version(session.version()),
            is_standby: is_standby(session).await?,
        })
    }
}

/// The error of a receiver whose connection or command failed.
pub fn receiving(error: ReplicationError) -> SourceError {
    let kind = match kind(&error) {
        SourceErrorKind::Failed if is_passing(&error) => SourceErrorKind::Unavailable,
        other => other,
    };
    let hint = error.hint().map(str::to_owned);
    let failed = SourceError::new(kind, "can't receive WAL").caused_by(error);
    match hint {
        Some(hint) => failed.with_hint(hint),
        None => failed,
    }
}

/// Whether the server's error says that it is stopping, or that the slot is still in use by a connection that the server
/// hasn't given up yet.
fn is_passing(error: &ReplicationError) -> bool {
    error.code().is_some_and(|code| code.starts_with("57P") || code == "55006")
}
