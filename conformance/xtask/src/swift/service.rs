//! The servers and daemons of a Swift.

use std::fmt;

/// One server, which a test can stop, kill or start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The object server of a node, counted from 1.
    Object(usize),
    /// The container server of a node, counted from 1.
    Container(usize),
    /// The account server of a node, counted from 1.
    Account(usize),
    /// The proxy, to which clients connect.
    Proxy,
    /// Keystone, if Swift was started with it.
    Keystone,
}

impl fmt::Display for Service {
    /// Displays the name of its configuration and its log, such as `object-1` or `proxy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(node) => write!(f, "object-{node}"),
            Self::Container(node) => write!(f, "container-{node}"),
            Self::Account(node) => write!(f, "account-{node}"),
            Self::Proxy => f.write_str("proxy"),
            Self::Keystone => f.write_str("keystone"),
        }
    }
}

/// A background daemon of a real Swift. In tests it runs only on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// Updates listings with objects that were written while the container servers were down.
    ObjectUpdater,
    /// Updates the accounts with the content of their containers.
    ContainerUpdater,
}

impl fmt::Display for Daemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ObjectUpdater => "object-updater",
            Self::ContainerUpdater => "container-updater",
        })
    }
}
