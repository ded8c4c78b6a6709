//! The connection settings for a server.

/// The server and the role to connect as. For a `None`, libpq's rules apply, with its `PG*` environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// A host name, an address, or the directory of a Unix socket.
    pub host: Option<String>,
    /// The port, which is also part of the socket's name.
    pub port: Option<u16>,
    /// The role; it needs the `REPLICATION` attribute and a `replication` line in pg_hba.conf.
    pub user: Option<String>,
}
