//! Whether PostgreSQL's archiver has started this process.

use std::{path::Path, time::Duration};

use swiftwal_core::ServerProcess;

use crate::within::within;

/// How long the data directory may take to answer. It doesn't answer if its disk hangs.
const LIMIT: Duration = Duration::from_secs(1);

/// Whether `path` is a WAL file as a running server passes it to its archive_command, which has started this process: relative
/// to the working directory, which is the server's data directory.
///
/// A person who archives a file by hand means that file alone. What else waits beside it may be the WAL of a server that
/// has failed, and that went another way than the one which has taken its place.
pub(crate) fn is_called_by_server(path: &Path) -> bool {
    path.is_relative() && within("server", LIMIT, || is_running(Path::new("."))).unwrap_or(false)
}

/// Whether a server that archives runs in this data directory, and has started this process. A server that crashed leaves its
/// number behind, which another process may have by now.
fn is_running(data_directory: &Path) -> bool {
    ServerProcess::running_in(data_directory)
        .is_ok_and(|server| !server.is_single_user() && server.is_ancestor())
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    #[test]
    fn a_server_runs_if_its_process_does_and_has_started_this_one() {
        let directory = tempfile::tempdir().unwrap();
        let is_running_by = |text: &str| {
            fs::write(directory.path().join("postmaster.pid"), text).unwrap();
            is_running(directory.path())
        };
        assert!(!is_running(directory.path()));
        let parent = std::os::unix::process::parent_id();
        assert!(is_running_by(&format!("{parent}\n/data\n1795948572\n")));
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(!is_running_by(&other.id().to_string()));
        other.kill().unwrap();
        other.wait().unwrap();
        let mut ended = Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        for text in [&ended.id().to_string(), "", "-1\n", "0\n", "x\n"] {
            assert!(!is_running_by(text), "{text}");
        }
    }

    #[test]
    fn a_whole_path_is_not_a_servers() {
        assert!(!is_called_by_server(Path::new("/data/pg_wal/000000010000000000000001")));
    }
}
