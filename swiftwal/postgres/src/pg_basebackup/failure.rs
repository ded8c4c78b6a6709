//! Interprets a failed run of `pg_basebackup`.

use std::process::ExitStatus;

use super::messages::Messages;
use crate::{SourceError, SourceErrorKind};

/// The error for a run that ended with a status other than success.
pub(super) fn failed(status: ExitStatus, messages: &Messages) -> SourceError {
    error(&format!("({status})"), messages)
}

/// The error for a run that reported success but whose archive is incomplete.
pub(super) fn incomplete(problem: &str, messages: &Messages) -> SourceError {
    let message = report(&format!("pg_basebackup ended without an error, but {problem}"), messages);
    let hint = "take the backup again, with a pg_basebackup of the server's version";
    SourceError::new(SourceErrorKind::Failed, message).with_hint(hint)
}

fn error(status: &str, messages: &Messages) -> SourceError {
    let kind = kind(messages);
    let (what, hint) = match kind {
        SourceErrorKind::Unavailable => (
            "could not connect to the server",
            "check host and port, that the server runs, and that max_wal_senders and max_connections leave room",
        ),
        SourceErrorKind::Refused => (
            "was refused by the server",
            "check the role's password and REPLICATION attribute, and the replication lines of pg_hba.conf",
        ),
        SourceErrorKind::Tablespaces => (
            "can't stream a cluster with tablespaces",
            "this method needs a cluster whose data is all in its data directory",
        ),
        _ => ("failed", failure_hint(messages)),
    };
    SourceError::new(kind, report(&format!("pg_basebackup {what} {status}"), messages)).with_hint(hint)
}

/// The hint for a failure that concerns neither the connection nor tablespaces.
fn failure_hint(messages: &Messages) -> &'static str {
    let says = |text: &str| messages.last.iter().any(|line| line.contains(text));
    if WAL_REMOVED.iter().any(|text| says(text)) {
        "the server removed WAL that the backup needed before it was copied: raise wal_keep_size on the server (before \
         version 13, wal_keep_segments), and max_slot_wal_keep_size where it is set, or leave --xlog out and archive the WAL"
    } else if says(CLIENT_TOO_OLD) {
        "this pg_basebackup is older than the server: install the client programs of the server's version or a newer one"
    } else {
        "see its last messages above and the server's log, then take the backup again"
    }
}

/// The server's messages at the end of a backup whose WAL it has removed.
const WAL_REMOVED: [&str; 3] =
    ["has already been removed", "could not find any WAL files", "could not find WAL file"];

/// The message of `pg_basebackup` if the server is newer than the program.
const CLIENT_TOO_OLD: &str = "incompatible server version";

/// Returns what happened, followed by the program's own messages on separate lines.
fn report(what: &str, messages: &Messages) -> String {
    let lines: String = messages.last.iter().map(|line| format!("\n    {line}")).collect();
    match lines.as_str() {
        "" => what.to_owned(),
        lines => format!("{what}, and said:{lines}"),
    }
}

/// Classifies a failed run by its messages.
///
/// There are no codes, only text. Messages of `pg_basebackup` and libpq are in English, those of the server in the
/// server's language; so any other failure while connecting counts as a refusal.
fn kind(messages: &Messages) -> SourceErrorKind {
    let says = |texts: &[&str]| messages.last.iter().any(|line| texts.iter().any(|text| line.contains(text)));
    if says(&["can only write single tablespace to stdout"]) {
        SourceErrorKind::Tablespaces
    } else if !says(&CONNECTING) || says(&BEGUN) {
        SourceErrorKind::Failed
    } else if says(&UNREACHABLE) || says(&BUSY) {
        SourceErrorKind::Unavailable
    } else {
        SourceErrorKind::Refused
    }
}

/// How libpq 14 and later, and older ones, report a failed connection.
const CONNECTING: [&str; 5] = [
    "error: connection to server ",
    "error: could not translate host name",
    "could not connect to server: ",
    "error: FATAL: ",
    "error: fe_sendauth: ",
];

/// The message of `pg_basebackup` when it is connected.
const BEGUN: [&str; 1] = ["initiating base backup"];

/// If no server answers: messages of libpq and of the system.
const UNREACHABLE: [&str; 8] = [
    "Connection refused",
    "Connection timed out",
    "No such file or directory",
    "No route to host",
    "Network is unreachable",
    "could not translate host name",
    "server closed the connection unexpectedly",
    "timeout expired",
];

/// If a server answers that it can't accept a connection now.
const BUSY: [&str; 5] = [
    "the database system is ",
    "too many clients",
    "too many connections",
    "remaining connection slots are reserved",
    // Followed by max_wal_senders, in quotes from version 17 on.
    "requested standby connections exceed",
];

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    fn messages(lines: &[&str]) -> Messages {
        Messages { last: lines.iter().map(|line| (*line).to_owned()).collect(), end: None }
    }

    #[test]
    fn each_message_of_a_failed_run_has_its_kind() {
        use SourceErrorKind::{Failed, Refused, Tablespaces, Unavailable};
        let connection = "pg_basebackup: error: connection to server at \"127.0.0.1\", port 5432 failed:";
        for (line, expected) in [
            (format!("{connection} Connection refused"), Unavailable),
            (format!("{connection} FATAL:  the database system is starting up"), Unavailable),
            (format!("{connection} FATAL:  sorry, too many clients already"), Unavailable),
            (
                format!(
                    "{connection} FATAL:  number of requested standby connections exceeds max_wal_senders (1)"
                ),
                Unavailable,
            ),
            (
                format!(
                    "{connection} FATAL:  number of requested standby connections exceeds \"max_wal_senders\" (1)"
                ),
                Unavailable,
            ),
            (
                "pg_basebackup: error: could not translate host name \"db1\" to address".to_owned(),
                Unavailable,
            ),
            ("pg_basebackup: error: could not connect to server: Connection refused".to_owned(), Unavailable),
            (format!("{connection} FATAL:  password authentication failed for user \"backup\""), Refused),
            (format!("{connection} FATAL:  no pg_hba.conf entry for replication connection"), Refused),
            (format!("{connection} FATAL:  Passwort-Authentifizierung fehlgeschlagen"), Refused),
            (format!("{connection} fe_sendauth: no password supplied"), Refused),
            ("pg_basebackup: error: FATAL:  must be superuser or replication role".to_owned(), Refused),
            (
                "pg_basebackup: error: can only write single tablespace to stdout, database has 2".to_owned(),
                Tablespaces,
            ),
            (
                "pg_basebackup: error: could not read COPY data: server closed the connection".to_owned(),
                Failed,
            ),
            (String::new(), Failed),
        ] {
            assert_eq!(kind(&messages(&[&line])), expected, "{line}");
        }
    }

    #[test]
    fn each_late_failure_has_its_own_way_out() {
        let hint = |line: &str| {
            let error = failed(ExitStatus::from_raw(1 << 8), &messages(&[line]));
            error.hint().unwrap_or_default().to_owned()
        };
        let removed = "ERROR:  requested WAL segment 000000010000000000000002 has already been removed";
        assert!(hint(removed).contains("raise wal_keep_size"));
        let newer = "pg_basebackup: error: incompatible server version 18.1";
        assert!(hint(newer).contains("older than the server"));
        assert!(hint("pg_basebackup: error: could not x").contains("the server's log"));
    }

    #[test]
    fn what_breaks_a_backup_in_progress_is_no_refusal() {
        let messages = messages(&[
            "pg_basebackup: initiating base backup, waiting for checkpoint to complete",
            "pg_basebackup: error: could not get write-ahead log end position from server: ERROR:  backup failed",
            "pg_basebackup: error: FATAL:  terminating connection due to administrator command",
        ]);
        assert_eq!(kind(&messages), SourceErrorKind::Failed);
    }

    #[test]
    fn an_error_tells_status_and_messages_and_has_a_hint() {
        let error =
            failed(ExitStatus::from_raw(1 << 8), &messages(&["pg_basebackup: error: could not x", "more"]));
        assert_eq!(
            error.to_string(),
            "pg_basebackup failed (exit status: 1), and said:\n    pg_basebackup: error: could not x\n    more"
        );
        assert!(error.hint().unwrap().starts_with("see its last messages above"));
    }

    #[test]
    fn an_error_without_messages_is_one_line() {
        let error = failed(ExitStatus::from_raw(9), &messages(&[]));
        assert!(error.to_string().starts_with("pg_basebackup failed (signal: 9 (SIGKILL))"), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}
