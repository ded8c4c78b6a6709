//! Finds the programs of Ceph, and installs the missing ones.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::apt;

/// The programs, each with its Debian package.
const PROGRAMS: [(&str, &str); 7] = [
    ("ceph", "ceph-common"),
    ("ceph-mgr", "ceph-mgr"),
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("monmaptool", "ceph-base"),
    ("radosgw", "radosgw"),
    ("radosgw-admin", "ceph-common"),
];

/// The programs of a Ceph cluster with a gateway.
#[derive(Debug, Clone)]
pub struct CephInstallation(());

impl CephInstallation {
    /// Finds the programs. Missing ones are installed with `apt-get` if this is root; otherwise the error names the
    /// packages to install. No service is started.
    pub fn ensure() -> Result<Self> {
        apt::ensure("Ceph", &PROGRAMS)?;
        Ok(Self(()))
    }

    /// Returns the path of one of its programs.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        apt::find(name).with_context(|| format!("{name} isn't installed where Debian's packages have it"))
    }
}
