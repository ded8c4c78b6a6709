//! Finds the programs of Ceph, and installs the missing ones.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::{apt, run};

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
const DIRECTORIES: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

/// The programs of a Ceph cluster with a gateway.
#[derive(Debug, Clone)]
pub struct CephInstallation(());

impl CephInstallation {
    /// Finds the programs. Missing ones are installed with `apt-get` if this is root; otherwise the error names the
    /// packages to install. No service is started.
    pub fn ensure() -> Result<Self> {
        let missing = missing_packages(|program| find(program).is_some());
        if !missing.is_empty() {
            ensure!(
                apt::may_install(),
                "Ceph is missing, which root can install on Debian: run `{}` as root, or run this as root",
                run::line(&apt::install_command(&missing))
            );
            apt::install_without_services(&missing)?;
        }
        Ok(Self(()))
    }

    /// Returns the path of one of its programs.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        find(name).with_context(|| format!("{name} isn't in {}", DIRECTORIES.join(", ")))
    }
}

fn find(program: &str) -> Option<PathBuf> {
    DIRECTORIES.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.exists())
}

/// Returns the Debian packages of the programs that are missing, each once.
fn missing_packages(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let missing = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let mut packages: Vec<_> = missing.map(|(_, package)| *package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_of_missing_programs_are_asked_for() {
        assert_eq!(missing_packages(|_| true), [""; 0]);
        assert_eq!(missing_packages(|program| program != "radosgw"), ["radosgw"]);
        let all = ["ceph-base", "ceph-common", "ceph-mgr", "ceph-mon", "ceph-osd", "radosgw"];
        assert_eq!(missing_packages(|_| false), all);
    }
}
