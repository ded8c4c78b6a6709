//! A client of PostgreSQL's physical replication protocol, for servers of version 13 and later.
//!
//! It takes base backups, streams WAL and manages replication slots. Any program may use it: it knows no storage, and of
//! this crate only [`Lsn`](crate::Lsn), [`Timeline`](crate::Timeline) and the function that makes text from outside
//! printable.
//!
//! - [`conninfo`] resolves connection settings by libpq's rules: strings and URIs, `PG*` variables, service files, password
//!   files. A setting of libpq that isn't supported is an error, never ignored.
//! - [`Session::connect`] connects to the first host that is reached and fits: Unix sockets, TCP, TLS, and
//!   authentication by password or client certificate.
//! - [`Session`] sends the commands that return at once: `IDENTIFY_SYSTEM`, `SHOW`, slots, timelines.
//! - [`SqlSession`] is an ordinary connection, for the functions that have no command of the protocol.
//! - [`BaseBackup`] and [`WalStream`] receive bulk data. Their data are slices of the receive buffer.
//!
//! What holds for all of it:
//!
//! - **Every wait has a limit.** A server that is silent for [`Limits::silence`] is an error. The checkpoint
//!   of a base backup and its copy have limits of their own. A host that is gone is noticed within a minute by the TCP
//!   keepalive.
//! - **What the server sends is limited**: a message has at most 1 MiB, one with data of a copy at most 16 MiB. A longer one
//!   is an error before memory is reserved for it.
//! - **What the server says is escaped** in messages. Passwords appear neither in errors nor in `Debug`.
//! - **An error ends the connection**, unless the server itself reported it and the documentation says otherwise. Dropping a
//!   session closes its connection; the server notices when it next writes to it. To end a long command at once, use
//!   [`Session::cancel_token`].
//!
//! Protocol: <https://www.postgresql.org/docs/current/protocol-replication.html>.

mod base_backup;
mod connect;
pub mod conninfo;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod query;
#[cfg(test)]
mod scripted;
mod secret;
mod server_message;
mod session;
mod sql_session;
mod stream;
mod wire;

pub use self::{
    base_backup::{
        BackupEnd, BackupEvent, BackupOptions, BackupTablespace, BaseBackup, DamagedPages, ManifestChecksums,
        ManifestUpload, Position,
    },
    connect::CancelToken,
    error::ReplicationError,
    secret::Secret,
    server_message::ServerMessage,
    session::{Limits, Session, SlotOptions, SlotPosition, SystemIdentity},
    sql_session::{SqlRow, SqlSession},
    stream::{ReceivedWal, StreamOptions, WalEvent, WalReporter, WalStatus, WalStream},
};
