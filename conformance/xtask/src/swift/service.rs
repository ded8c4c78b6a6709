use std::fmt;

/// One server, for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// The object server of a node, counted from 1.
    Object(usize),
    /// The container server of a node, counted from 1.
    Container(usize),
    /// The account server of a node, counted from 1.
    Account(usize),
    /// What clients talk to.
    Proxy,
    /// What gives tokens, where Swift was started with it.
    Keystone,
}

impl fmt::Display for Service {
    /// As `object-1`, `proxy`: the name of its configuration and its log.
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

/// Work that a real Swift does in the background, and that is only done here when asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// Brings listings up to date with objects that were written while no container server took the news.
    ObjectUpdater,
    /// Tells the accounts what their containers hold.
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
