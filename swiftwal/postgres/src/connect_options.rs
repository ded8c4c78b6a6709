//! Which server to connect to.

/// Where the server is and as whom to connect; what is `None` is left to libpq's rules and its `PG*` environment variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnectOptions {
    /// A host name, an address, or the directory of a Unix socket.
    pub host: Option<String>,
    /// The port, which also names the socket.
    pub port: Option<u16>,
    /// The role; it needs the `REPLICATION` attribute and a `replication` line in pg_hba.conf.
    pub user: Option<String>,
}
