//! The names of files in a data directory that a restore treats in its own way.

/// The file without which PostgreSQL doesn't start.
pub(crate) const CONTROL: &[u8] = b"global/pg_control";
/// Its size in every version: PostgreSQL's `PG_CONTROL_FILE_SIZE`.
pub(crate) const CONTROL_BYTES: u64 = 8192;
/// The name of that file until it is complete.
pub(crate) const STAGED_CONTROL: &[u8] = b"global/pg_control.swiftwal";
/// The file without which PostgreSQL would take a base backup for a crashed cluster, and silently lose data.
pub(crate) const LABEL: &[u8] = b"backup_label";
/// The names of the directory for WAL: up to version 9.6 the second one.
pub(crate) const WAL: [&[u8]; 2] = [b"pg_wal", b"pg_xlog"];
