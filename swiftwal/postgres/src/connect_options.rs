//! The connection settings for a server.

use crate::replication::conninfo::ConnInfo;

/// The server and the role to connect as. For a `None`, the connection string and then libpq's rules apply, with its `PG*`
/// environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// The settings of a connection string. It must not contain a password: other programs get it as an argument.
    pub conninfo: ConnInfo,
    /// A host name, an address, or the directory of a Unix socket.
    pub host: Option<String>,
    /// The port, which is also part of the socket's name.
    pub port: Option<u16>,
    /// The role; it needs the `REPLICATION` attribute and a `replication` line in pg_hba.conf.
    pub user: Option<String>,
}
