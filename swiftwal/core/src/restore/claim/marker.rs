//! The marker file of a restore, which names the backup, the process and the cluster.

use std::io::Write;

use rustix::process::{Pid, test_kill_process};
use swiftwal_postgres::printable;

use super::{
    super::{created::Kind, root::Root},
    Reuse,
    refusal::refusal,
};
use crate::{
    error::{Error, Result},
    repository::key::BackupKey,
};

/// The name of the marker file.
pub(in crate::restore) const MARKER: &[u8] = b"swiftwal_restore_in_progress";
/// The name under which a marker is written that replaces an earlier one.
const NEW_MARKER: &[u8] = b"swiftwal_restore_in_progress.new";
/// The size limit of a marker, which is one line.
const MOST_MARKER_BYTES: u64 = 4096;
/// What precedes the system identifier in a marker.
const OF_CLUSTER: &str = ", of cluster ";

/// The restore that claims directories.
#[derive(Clone, Copy, Debug)]
pub(in crate::restore) struct Claimant {
    pub(in crate::restore) key: BackupKey,
    /// The system identifier of the backup's cluster; none for a backup of SwiftWAL 0.2.2.
    pub(in crate::restore) cluster: Option<u64>,
    pub(in crate::restore) reuse: Reuse,
}

impl Claimant {
    /// Writes the marker of this restore, durably, in place of an earlier one.
    pub(super) fn mark(&self, root: &mut Root) -> Result<()> {
        let is_first = !root.exists(MARKER);
        let name = if is_first { MARKER } else { NEW_MARKER };
        if !is_first {
            root.remove_existing(NEW_MARKER, Kind::File)?;
        }
        let mut marker = root.create_file(name, 0o600).map_err(|error| match error {
            Error::Local { source, .. } => refusal(root.path(), source),
            error => error,
        })?;
        let written = marker.write_all(self.line().as_bytes()).and_then(|()| marker.sync_all());
        written.map_err(Error::local("write", root.path_of(name)))?;
        if is_first { root.sync_names(MARKER) } else { root.replace(NEW_MARKER, MARKER) }
    }

    fn line(&self) -> String {
        let (process, host) = (std::process::id(), rustix::system::uname());
        let host = printable(host.nodename().to_bytes()).to_string();
        let cluster = self.cluster.map(|cluster| format!("{OF_CLUSTER}{cluster}")).unwrap_or_default();
        format!("backup {}, by process {process} on host {host}{cluster}\n", self.key)
    }
}

/// Whether `name` is that of a marker, or of one that is being replaced.
pub(super) fn is_marker(name: &[u8]) -> bool {
    name == MARKER || name == NEW_MARKER
}

/// Returns the content of the marker in a directory, for a message.
pub(super) fn marker_of(root: &Root) -> Option<String> {
    let marker = root.clone().read(MARKER, MOST_MARKER_BYTES)?;
    Some(printable(marker.trim_ascii()).to_string())
}

/// Returns the system identifier in a marker. A version that couldn't resume restores didn't write it.
pub(super) fn cluster_in(marker: &str) -> Option<u64> {
    marker.rsplit_once(OF_CLUSTER)?.1.parse().ok()
}

/// Whether the process that wrote the marker has certainly ended: it was one of this host, and isn't there.
pub(super) fn has_ended(marker: &str) -> bool {
    let parse = || {
        let (process, host) = marker.split_once(", by process ")?.1.split_once(" on host ")?;
        let host = host.rsplit_once(OF_CLUSTER).map_or(host, |(host, _)| host);
        Some((process.parse::<i32>().ok()?, host.to_owned()))
    };
    let Some((process, host)) = parse() else { return false };
    let is_here = printable(rustix::system::uname().nodename().to_bytes()).to_string() == host;
    let is_alive = Pid::from_raw(process)
        .is_some_and(|process| !matches!(test_kill_process(process), Err(rustix::io::Errno::SRCH)));
    is_here && !is_alive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimant(cluster: Option<u64>) -> Claimant {
        Claimant { key: "20130828T1810Z".parse().unwrap(), cluster, reuse: Reuse::Nothing }
    }

    #[test]
    fn a_marker_says_whose_files_these_are_and_replaces_an_earlier_one() {
        let scratch = tempfile::tempdir().unwrap();
        let mut root = Root::open(scratch.path(), None).unwrap();
        for cluster in [7, u64::MAX] {
            claimant(Some(cluster)).mark(&mut root).unwrap();
            let marker = marker_of(&root).unwrap();
            assert!(marker.starts_with("backup 20130828T1810Z, by process "), "{marker}");
            assert_eq!(cluster_in(&marker), Some(cluster));
            assert!(!has_ended(&marker), "it is this process");
        }
        assert_eq!(scratch.path().read_dir().unwrap().count(), 1);
        assert_eq!(cluster_in(claimant(None).line().trim_end()), None);
    }

    #[test]
    fn a_process_has_ended_only_if_that_is_certain() {
        let here = printable(rustix::system::uname().nodename().to_bytes()).to_string();
        let marker = |process: &str, host: &str| {
            format!("backup X, by process {process} on host {host}, of cluster 5")
        };
        // No process has this number.
        let absent = i32::MAX.to_string();
        assert!(has_ended(&marker(&absent, &here)));
        assert!(!has_ended(&marker(&absent, "elsewhere")) && !has_ended(&marker("x", &here)));
        assert!(!has_ended(&marker("1", &here)) && !has_ended(""));
    }
}
