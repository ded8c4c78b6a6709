//! The errors of the replication client as those of a source.

use crate::{SourceError, SourceErrorKind, replication::ReplicationError};

/// SQLSTATEs of a server that has no room, or accepts no connections now.
const BUSY: [&str; 2] = ["53300", "57P03"];

/// Classes of SQLSTATEs of a refusal: invalid authorization, and missing privileges.
const REFUSALS: [&str; 2] = ["28", "42501"];

/// The error of a connection that failed.
pub(crate) fn connecting(error: ReplicationError) -> SourceError {
    let kind = kind(&error);
    let (message, hint) = match kind {
        SourceErrorKind::Unavailable => (
            "could not connect to the server",
            "check host and port, that the server runs, and that max_wal_senders and max_connections leave room",
        ),
        SourceErrorKind::Refused => (
            "the server refused the connection",
            "check the role's password and REPLICATION attribute, and the replication lines of pg_hba.conf",
        ),
        _ => ("could not connect to the server", "check the connection settings"),
    };
    let hint = error.hint().map_or_else(|| hint.to_owned(), str::to_owned);
    SourceError::new(kind, message).with_hint(hint).caused_by(error)
}

/// The error of a command that failed, or of a backup in progress.
pub(super) fn failed(error: ReplicationError) -> SourceError {
    let kind = match kind(&error) {
        SourceErrorKind::Refused => SourceErrorKind::Refused,
        _ => SourceErrorKind::Failed,
    };
    let hint =
        error.hint().map_or("see the server's log, then take the backup again", |hint| hint).to_owned();
    SourceError::new(kind, "the base backup failed").with_hint(hint).caused_by(error)
}

/// Returns the kind of an error of the client.
pub(crate) fn kind(error: &ReplicationError) -> SourceErrorKind {
    match error {
        ReplicationError::Unreachable { .. }
        | ReplicationError::ConnectTimeout { .. }
        | ReplicationError::Target { .. }
        | ReplicationError::Closed { .. }
        | ReplicationError::Lost { .. }
        | ReplicationError::Silence { .. } => SourceErrorKind::Unavailable,
        ReplicationError::Hosts(errors) => {
            errors.iter().map(kind).next_back().unwrap_or(SourceErrorKind::Unavailable)
        }
        ReplicationError::Authentication { .. } | ReplicationError::Tls { .. } => SourceErrorKind::Refused,
        ReplicationError::Server(message) if BUSY.contains(&message.code.as_str()) => {
            SourceErrorKind::Unavailable
        }
        ReplicationError::Server(message) if REFUSALS.iter().any(|class| message.code.starts_with(class)) => {
            SourceErrorKind::Refused
        }
        _ => SourceErrorKind::Failed,
    }
}
