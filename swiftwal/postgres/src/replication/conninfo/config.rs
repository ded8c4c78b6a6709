//! The resolved connection settings.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::TlsSettings;
use crate::replication::secret::Secret;

/// Everything that is needed to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectConfig {
    /// The hosts, in the order in which they are tried. Never empty.
    pub hosts: Vec<Host>,
    /// Whether the hosts, and the addresses of each, are tried in random order.
    pub load_balance: bool,
    /// What the server must be.
    pub target: TargetSession,
    /// The role.
    pub user: String,
    /// What the connection is for.
    pub kind: ConnectionKind,
    /// The database, which a physical replication connection doesn't need.
    pub database: Option<String>,
    /// The settings of TLS.
    pub tls: TlsSettings,
    /// Whether authentication must be bound to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// The limit for connecting to one address, authentication included.
    pub connect_timeout: Option<Duration>,
    /// The TCP keepalive; `None` if it is switched off.
    pub keepalive: Option<Keepalive>,
    /// How long sent data may stay unacknowledged before the connection is closed; one minute if it isn't set.
    pub tcp_user_timeout: Option<Duration>,
    /// The server's parameters for the session: `application_name`, `client_encoding`, `options`.
    pub parameters: Vec<(String, String)>,
    /// Whether a server on another host is refused, before anything is sent to it.
    pub only_this_host: bool,
    /// What libpq would warn of: a password file that is not used.
    pub warnings: Vec<String>,
}

/// The database of replication connections in a password file.
const REPLICATION: &str = "replication";

impl ConnectConfig {
    /// Returns the database under which a password file has the password.
    pub fn passfile_database(&self) -> &str {
        passfile_database(self.kind, self.database.as_deref(), &self.user)
    }
}

pub(super) fn passfile_database<'a>(
    kind: ConnectionKind,
    database: Option<&'a str>,
    user: &'a str,
) -> &'a str {
    match kind {
        ConnectionKind::Replication => REPLICATION,
        // Without a name, the database is that of the role.
        ConnectionKind::Sql => database.unwrap_or(user),
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ConnectionKind {
    /// The commands of the physical replication protocol.
    #[default]
    Replication,
    /// SQL.
    Sql,
}

/// A host to be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name as it was given, which a certificate is compared with; `None` if only an address was given.
    pub name: Option<String>,
    /// Where it is.
    pub place: Place,
    /// The port, which is also part of the name of a Unix socket.
    pub port: u16,
    /// The password for it.
    pub password: Option<Secret>,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The directory of a Unix socket; an abstract one begins with `@`.
    Directory(PathBuf),
    /// A name to be resolved.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// The TCP keepalive. For a `None`, this client's default applies, by which a dead server is noticed within a minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keepalive {
    /// After how long without traffic a probe is sent.
    pub idle: Option<Duration>,
    /// The time between probes.
    pub interval: Option<Duration>,
    /// The number of lost probes after which the connection is closed.
    pub count: Option<u32>,
}

/// What the server must be: `target_session_attrs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TargetSession {
    /// Anything.
    #[default]
    Any,
    /// A server whose sessions may write by default.
    ReadWrite,
    /// A server whose sessions can't write by default.
    ReadOnly,
    /// A server that isn't in recovery.
    Primary,
    /// A server in recovery.
    Standby,
    /// A server in recovery, or else any.
    PreferStandby,
}

/// Whether authentication must be bound to the TLS connection: `channel_binding`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// If the server and the certificate allow it.
    #[default]
    Prefer,
    /// Always: any other authentication is refused.
    Require,
}
