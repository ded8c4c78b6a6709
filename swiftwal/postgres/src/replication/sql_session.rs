//! An ordinary session with a server, which takes SQL.

use std::time::Duration;

use bytes::Bytes;

use super::{
    connect::CancelToken,
    conninfo::{ConnectConfig, ConnectionKind},
    error::ReplicationError,
    query::{Rows, query_each_within, query_within},
    server_message::ServerMessage,
    session::{Limits, Session},
    wire::Received,
};

const DOING: &str = "waiting for the answer to a query";
const IDLE: &str = "an idle session was kept open";

/// Far longer than any session.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// A session that takes SQL, by the simple query protocol.
///
/// As in a [`Session`], an error that the server reported leaves it usable unless it was fatal.
#[derive(Debug)]
pub struct SqlSession {
    session: Session,
}

/// A row of a result.
#[derive(Debug)]
pub struct SqlRow {
    rows: Rows,
}

impl SqlSession {
    /// Connects as [`Session::connect`] does. The settings must have been resolved for SQL.
    pub async fn connect(config: &ConnectConfig, limits: Limits) -> Result<Self, ReplicationError> {
        match config.kind {
            ConnectionKind::Sql => Ok(Self { session: Session::connect(config, limits).await? }),
            ConnectionKind::Replication => {
                Err(ReplicationError::protocol("the settings are those of a replication connection"))
            }
        }
    }

    /// Returns the server's version as a number, such as 150004 for 15.4.
    pub fn version(&self) -> u32 {
        self.session.version()
    }

    /// Returns what cancels this session's statements from elsewhere.
    pub fn cancel_token(&self) -> CancelToken {
        self.session.cancel_token()
    }

    /// Returns the warnings and other notices since the last call, at most a thousand.
    pub fn take_notices(&mut self) -> Vec<ServerMessage> {
        self.session.take_notices()
    }

    /// Sends a statement that returns one row or none, and waits for it for up to `limit`.
    pub async fn row(&mut self, statement: &str, limit: Duration) -> Result<SqlRow, ReplicationError> {
        let Session { wire, notices, .. } = &mut self.session;
        let rows = query_within(limit, wire, statement, notices, DOING).await?;
        Ok(SqlRow { rows })
    }

    /// Sends a text with any number of statements, waits up to `limit` for each message of the answer, and returns the rows
    /// of each statement that returns rows, even if there are none. A value is `None` if it is null.
    pub async fn results(
        &mut self,
        text: &str,
        limit: Duration,
    ) -> Result<Vec<Vec<Vec<Option<Bytes>>>>, ReplicationError> {
        let Session { wire, notices, .. } = &mut self.session;
        let results = query_each_within(limit, wire, text, notices, DOING).await?;
        Ok(results.into_iter().map(Rows::values).collect())
    }

    /// Waits until the session ends without having been asked to, and returns the reason. The call may be cancelled and
    /// repeated.
    pub async fn lost(&mut self) -> ReplicationError {
        loop {
            match self.session.wire.receive_within(NO_LIMIT, IDLE).await {
                Ok(Received::Notice(_)) => {}
                Ok(_) => return ReplicationError::protocol("a message that nothing asked for"),
                Err(error) => return error,
            }
        }
    }

    /// Ends the session in an orderly way: see [`Session::end`].
    pub async fn end(self) -> Result<(), ReplicationError> {
        self.session.end().await
    }
}

impl SqlRow {
    /// Returns a value as it was sent; `None` if it is null or missing.
    pub fn bytes(&self, column: usize) -> Option<&Bytes> {
        self.rows.bytes(0, column)
    }

    /// Returns the text of a value; `None` if it is null or missing.
    pub fn text(&self, column: usize) -> Result<Option<&str>, ReplicationError> {
        self.rows.text(0, column)
    }

    /// Parses a value that must be there; `what` names it in the error.
    pub fn parse<T: std::str::FromStr>(&self, column: usize, what: &str) -> Result<T, ReplicationError> {
        self.rows.parse((0, column), what)
    }
}
