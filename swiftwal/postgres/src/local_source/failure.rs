//! The errors of a local backup.

use std::{io, path::Path};

use crate::{
    SourceError, SourceErrorKind, printable, replication::ReplicationError, replication_source::failure::kind,
};

pub(super) const OTHER_METHOD: &str = "or use --method replication, which needs no access to the files";

const RIGHTS: &str = "the role must be a superuser, or a member of pg_read_all_settings that may execute the functions that \
    begin and end a backup";

const AGAIN: &str = "see the server's log, then take the backup again";

/// The error of a connection that failed.
pub(super) fn connecting(error: ReplicationError) -> SourceError {
    let (kind, message, hint) = match kind(&error) {
        SourceErrorKind::Unavailable => (
            SourceErrorKind::Unavailable,
            "could not connect to the server",
            "check host and port, that the server runs, and that max_connections leaves room",
        ),
        SourceErrorKind::Refused => (
            SourceErrorKind::Refused,
            "the server refused the connection",
            "check the role's password, and that pg_hba.conf permits it to connect to the database postgres",
        ),
        kind => (kind, "could not connect to the server", "check the connection settings"),
    };
    let hint = error.hint().map_or_else(|| hint.to_owned(), str::to_owned);
    SourceError::new(kind, message).with_hint(hint).caused_by(error)
}

/// The error of a statement that failed, or of a session that was lost.
pub(super) fn failed(error: ReplicationError) -> SourceError {
    let (kind, hint) = match kind(&error) {
        SourceErrorKind::Refused => (SourceErrorKind::Refused, RIGHTS),
        _ => (SourceErrorKind::Failed, AGAIN),
    };
    let hint = error.hint().map_or_else(|| hint.to_owned(), str::to_owned);
    SourceError::new(kind, "the base backup failed").with_hint(hint).caused_by(error)
}

/// The error of a role that may not begin or end a backup.
pub(super) fn without_rights() -> SourceError {
    let message = "the role may not begin and end a backup";
    SourceError::new(SourceErrorKind::Refused, message).with_hint(RIGHTS)
}

/// The error of a file or directory that can't be read.
pub(super) fn unreadable(path: &Path, error: io::Error) -> SourceError {
    let message = format!("can't read {}", shown(path));
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("run this as the user to whom the server's files belong, {OTHER_METHOD}")
        }
        _ => "check the file system of the server's data".to_owned(),
    };
    SourceError::new(SourceErrorKind::Failed, message).with_hint(hint).caused_by(error)
}

/// The error of an answer, or of a file, that can't be understood.
pub(super) fn unexpected(what: impl Into<String>) -> SourceError {
    SourceError::new(SourceErrorKind::Failed, what).with_hint(AGAIN)
}

pub(super) fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_encoded_bytes()).to_string()
}
