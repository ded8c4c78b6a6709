//! Asks a server to cancel what a connection is doing.

use std::{fmt, time::Duration};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::{io::AsyncReadExt, io::AsyncWriteExt, time::timeout};

use super::{Endpoint, tls::Tls};
use crate::replication::{
    conninfo::{ConnectConfig, Host},
    error::ReplicationError,
    wire::Transport,
};

const DOING: &str = "asking it to cancel a command";

/// The key by which a server recognises a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct BackendKey {
    pub(super) process: i32,
    pub(super) secret: i32,
}

/// Asks the server, over a new connection, to cancel the command that a session is waiting for. It doesn't need the session,
/// so that another task can use it.
#[derive(Clone)]
pub struct CancelToken {
    config: ConnectConfig,
    host: Host,
    endpoint: Endpoint,
    tls: Option<Tls>,
    key: Option<BackendKey>,
    silence: Duration,
}

impl CancelToken {
    pub(super) fn new(
        config: &ConnectConfig,
        host: &Host,
        endpoint: &Endpoint,
        tls: Option<Tls>,
        key: Option<BackendKey>,
        silence: Duration,
    ) -> Self {
        Self { config: config.clone(), host: host.clone(), endpoint: endpoint.clone(), tls, key, silence }
    }

    /// Sends the request, encrypted if the connection was, and waits until the server has taken it. The command then ends
    /// with SQLSTATE `57014`, unless it ended before. Returns whether the server gave a key to cancel by.
    pub async fn cancel(&self) -> Result<bool, ReplicationError> {
        let Some(key) = self.key else { return Ok(false) };
        match timeout(self.silence, self.send(key)).await {
            Ok(sent) => sent.map(|()| true),
            Err(_) => Err(ReplicationError::Silence { doing: DOING, limit: self.silence }),
        }
    }

    async fn send(&self, key: BackendKey) -> Result<(), ReplicationError> {
        let mut transport = self.endpoint.open(&self.config).await?;
        if let Some(tls) = &self.tls {
            transport = match transport {
                Transport::Tcp(stream) => {
                    tls.secure(stream, &self.host, &self.endpoint, self.silence).await?.transport
                }
                other => other,
            };
        }
        let mut message = BytesMut::new();
        frontend::cancel_request(key.process, key.secret, &mut message);
        let exchange = async {
            transport.write_all(&message).await?;
            transport.flush().await
        };
        exchange.await.map_err(|source| ReplicationError::Lost { doing: DOING, source })?;
        // The server answers nothing, and closes the connection when it has sent the signal: with an error or without.
        let _ = transport.read(&mut [0; 1]).await;
        Ok(())
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}
