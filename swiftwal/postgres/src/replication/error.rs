//! The errors of the replication client.

use std::{io, time::Duration};

use super::{conninfo::ConnInfoError, server_message::ServerMessage};

/// A failed connection or command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplicationError {
    /// The connection settings can't be used.
    #[error(transparent)]
    Settings(#[from] ConnInfoError),
    /// A host can't be reached.
    #[error("can't connect to {host}")]
    Unreachable {
        /// The host and port, or the socket.
        host: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A host didn't complete the connection in time.
    #[error("no connection to {host} within {} s", limit.as_secs_f64())]
    ConnectTimeout {
        /// The host and port, or the socket.
        host: String,
        /// The limit.
        limit: Duration,
    },
    /// TLS is required, and can't be established, or the certificate isn't trusted.
    #[error("no TLS connection to {host}: {problem}")]
    Tls {
        /// The host and port.
        host: String,
        /// What is wrong.
        problem: String,
    },
    /// The server asks for a kind of authentication that isn't possible with these settings.
    #[error("can't authenticate: {problem}")]
    Authentication {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The server isn't what `target_session_attrs` asks for.
    #[error("{host} is not what target_session_attrs asks for")]
    Target {
        /// The host and port, or the socket.
        host: String,
    },
    /// None of several hosts could be used.
    #[error("none of the hosts can be used: {}", texts(.0))]
    Hosts(Vec<Self>),
    /// The server reported an error.
    #[error("{0}")]
    Server(Box<ServerMessage>),
    /// The server doesn't follow the protocol, or its answer can't be read.
    #[error("unexpected answer of the server: {0}")]
    Protocol(String),
    /// The server sent nothing for too long.
    #[error("the server has been silent for {} s while {doing}", limit.as_secs_f64())]
    Silence {
        /// What the client was doing.
        doing: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke.
    #[error("the connection was lost while {doing}")]
    Lost {
        /// What the client was doing.
        doing: &'static str,
        /// The error of the operating system or of TLS.
        source: io::Error,
    },
    /// The server closed the connection without an error.
    #[error("the server closed the connection while {doing}")]
    Closed {
        /// What the client was doing.
        doing: &'static str,
    },
    /// The server's version lacks the command or an option.
    #[error("PostgreSQL {version} doesn't support {feature}")]
    Version {
        /// The server's version.
        version: String,
        /// The command or option.
        feature: &'static str,
    },
}

impl ReplicationError {
    /// Returns what to do about the error, from the server or this client.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Settings(error) => error.hint(),
            Self::Server(message) => message.hint.as_deref(),
            Self::Authentication { hint, .. } => hint.as_deref(),
            Self::Hosts(errors) => errors.iter().find_map(Self::hint),
            _ => None,
        }
    }

    /// Returns the SQLSTATE of an error that the server reported.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Server(message) => Some(&message.code),
            _ => None,
        }
    }

    pub(super) fn protocol(problem: impl Into<String>) -> Self {
        Self::Protocol(problem.into())
    }

    pub(super) fn authentication(problem: impl Into<String>) -> Self {
        Self::Authentication { problem: problem.into(), hint: None }
    }
}

/// Returns the errors with their causes, since there is no single cause.
fn texts(errors: &[ReplicationError]) -> String {
    let texts = errors.iter().map(|error| match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    });
    texts.collect::<Vec<_>>().join("; ")
}
