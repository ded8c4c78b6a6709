//! The servers of a Ceph.

use std::fmt;

/// One server, which a test can stop, kill or start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CephServer {
    /// The monitor, which the other servers ask where everything is.
    Monitor,
    /// The manager, without which no data becomes available.
    Manager,
    /// The only disk, in the memory of this process: what it stores is lost if it is killed.
    Osd,
    /// The gateway `radosgw`, to which clients connect.
    Gateway,
}

impl CephServer {
    /// Returns the word by which Ceph's configuration names this kind of server.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Monitor => "mon",
            Self::Manager => "mgr",
            Self::Osd => "osd",
            Self::Gateway => "client",
        }
    }

    /// Returns its program, and the options that name it.
    pub(super) fn program(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::Monitor => ("ceph-mon", ["-i", "a"]),
            Self::Manager => ("ceph-mgr", ["-i", "x"]),
            Self::Osd => ("ceph-osd", ["-i", "0"]),
            Self::Gateway => ("radosgw", ["-n", "client.rgw"]),
        }
    }
}

impl fmt::Display for CephServer {
    /// Displays the name of its log, such as `gateway`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Monitor => "monitor",
            Self::Manager => "manager",
            Self::Osd => "osd",
            Self::Gateway => "gateway",
        })
    }
}
