//! The addresses of a host, and the socket options of a connection.

use std::{
    ffi::OsStr,
    fmt, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::sockopt;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::{
    printable,
    replication::{
        conninfo::{ConnectConfig, Host, Place},
        error::ReplicationError,
        wire::Transport,
    },
};

/// The keepalive unless the settings say otherwise. libpq leaves it to the system, where a dead server is noticed after two
/// hours; a base backup can wait that long for a checkpoint.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(20);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_COUNT: u32 = 3;
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// An address that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(PathBuf),
    Tcp { name: Option<String>, address: SocketAddr },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", printable(path.as_os_str().as_bytes())),
            Self::Tcp { name: Some(name), address } if *name != address.ip().to_string() => {
                write!(f, "{} ({address})", printable(name))
            }
            Self::Tcp { address, .. } => write!(f, "{address}"),
        }
    }
}

/// Returns the addresses of a host, in the order in which the system returns them.
pub(super) async fn endpoints(host: &Host, limit: Duration) -> Result<Vec<Endpoint>, ReplicationError> {
    match &host.place {
        Place::Directory(directory) => Ok(vec![Endpoint::Unix(socket(directory, host.port))]),
        Place::Address(address) => {
            Ok(vec![Endpoint::Tcp { name: host.name.clone(), address: SocketAddr::new(*address, host.port) }])
        }
        Place::Name(name) => {
            let unreachable = |source| ReplicationError::Unreachable {
                host: format!("{}:{}", printable(name), host.port),
                source,
            };
            let looked_up = timeout(limit, tokio::net::lookup_host((name.as_str(), host.port))).await;
            let addresses =
                looked_up.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(unreachable)?;
            Ok(addresses.map(|address| Endpoint::Tcp { name: Some(name.clone()), address }).collect())
        }
    }
}

/// Returns the path of the socket. An abstract one, whose directory begins with `@`, begins with a zero byte.
fn socket(directory: &Path, port: u16) -> PathBuf {
    let path = directory.join(format!(".s.PGSQL.{port}"));
    match path.as_os_str().as_bytes() {
        [b'@', rest @ ..] => OsStr::from_bytes(&[b"\0", rest].concat()).into(),
        _ => path,
    }
}

/// Whether an address is one of this host: only those can be bound to.
fn is_of_this_host(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

impl Endpoint {
    /// Connects, without TLS.
    pub(super) async fn open(&self, config: &ConnectConfig) -> Result<Transport, ReplicationError> {
        let opened = match self {
            Self::Unix(path) => UnixStream::connect(path).await.map(Transport::Unix),
            Self::Tcp { address, .. } => Self::open_tcp(*address, config).await.map(Transport::Tcp),
        };
        opened.map_err(|source| ReplicationError::Unreachable { host: self.to_string(), source })
    }

    async fn open_tcp(address: SocketAddr, config: &ConnectConfig) -> io::Result<TcpStream> {
        if config.only_this_host && !is_of_this_host(address.ip()) {
            return Err(io::Error::other("it is another host"));
        }
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if let Some(keepalive) = config.keepalive {
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, keepalive.idle.unwrap_or(KEEPALIVE_IDLE))?;
            sockopt::set_tcp_keepintvl(&stream, keepalive.interval.unwrap_or(KEEPALIVE_INTERVAL))?;
            sockopt::set_tcp_keepcnt(&stream, keepalive.count.unwrap_or(KEEPALIVE_COUNT))?;
        }
        let limit = config.tcp_user_timeout.unwrap_or(USER_TIMEOUT);
        sockopt::set_tcp_user_timeout(&stream, u32::try_from(limit.as_millis()).unwrap_or(u32::MAX))?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::conninfo::{ConnInfo, Environment};

    #[tokio::test]
    async fn another_host_is_not_connected_to_if_only_this_one_is_asked_for() {
        let config = ConnInfo::parse("user=u").unwrap().resolve(&Environment::default()).unwrap();
        let config = ConnectConfig { only_this_host: true, ..config };
        let listener = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
        let here = Endpoint::Tcp { name: None, address: listener.local_addr().unwrap() };
        here.open(&config).await.unwrap();
        // An address for documentation, which no host has.
        let elsewhere = Endpoint::Tcp { name: None, address: "192.0.2.1:5432".parse().unwrap() };
        match elsewhere.open(&config).await {
            Err(ReplicationError::Unreachable { source, .. }) => {
                assert_eq!(source.to_string(), "it is another host");
            }
            other => panic!("{other:?}"),
        }
    }
}
