//! Writes the configuration file of Ceph from the templates in `xtask/ceph`.

use std::fs;

use anyhow::{Context, Result};

use super::{Ceph, CephServer};
use crate::{ports, template};

const CEPH: &str = include_str!("../../ceph/ceph.conf");
const KEYSTONE: &str = include_str!("../../ceph/keystone.conf");

/// Identifies the cluster. Nothing but its own servers knows it, so that it needn't differ from others.
pub(super) const CLUSTER_ID: &str = "7d1f2a94-58c3-4b0e-9a67-c2e85b3f1d06";
/// Identifies the OSD.
pub(super) const OSD_ID: &str = "1b9c4e70-26fd-4d85-8e13-a5f7906c2b38";

/// The ports of the servers that others must know beforehand.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) monitor: u16,
    pub(super) gateway: u16,
}

impl Ports {
    /// Finds free ports.
    pub(super) fn find() -> Result<Self> {
        let port = || -> Result<u16> { Ok(ports::listen()?.local_addr()?.port()) };
        Ok(Self { monitor: port()?, gateway: port()? })
    }
}

impl Ceph {
    /// Writes the configuration file, and creates the servers' directories.
    pub(super) fn configure(&self, keystone: Option<u16>) -> Result<()> {
        for server in [CephServer::Monitor, CephServer::Manager, CephServer::Osd] {
            fs::create_dir(self.directory.join(server.kind()))
                .with_context(|| format!("making the directory of the {server}"))?;
        }
        let keystone = keystone.map(|port| template::fill(KEYSTONE, &[("KEYSTONE_PORT", &port.to_string())]));
        let values = [
            ("FSID", CLUSTER_ID),
            ("DIRECTORY", &self.directory.to_string_lossy()),
            ("MONITOR_PORT", &self.ports.monitor.to_string()),
            ("GATEWAY_PORT", &self.ports.gateway.to_string()),
            ("KEYSTONE", &keystone.unwrap_or_default()),
        ];
        let path = self.configuration();
        fs::write(&path, template::fill(CEPH, &values)).with_context(|| format!("writing {}", path.display()))
    }
}
