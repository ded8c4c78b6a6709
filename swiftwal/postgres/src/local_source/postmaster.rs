//! The file in which a running server says which process it is.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// How much later than the process the server begins to work: it reserves memory and loads libraries before.
const START_SECONDS: u64 = 600;

/// The beginning of `postmaster.pid`.
///
/// Source: PostgreSQL's `src/include/utils/pidfile.h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Postmaster {
    pid: u32,
    /// When the process started, in seconds since 1970.
    started: i64,
}

impl Postmaster {
    /// Parses the file's text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let pid = lines.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let started = lines.nth(1)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Reads the file of a data directory.
    pub(super) fn read(directory: &Path) -> std::io::Result<Option<Self>> {
        Ok(Self::parse(&std::fs::read_to_string(directory.join("postmaster.pid"))?))
    }

    /// Whether the process started when the server says that it did.
    pub(super) fn started_at(&self, started: i64) -> bool {
        self.started.abs_diff(started) <= START_SECONDS
    }

    /// Returns why the process isn't proven to be the server that works in `directory` and has the process `backend`;
    /// `None` if it is. `processes` is `/proc`, whose links lead to the directories themselves, whatever their names are.
    pub(super) fn obstacle(&self, processes: &Path, directory: &Path, backend: u32) -> Option<&'static str> {
        let own = processes.join(self.pid.to_string());
        if !is_same(&own.join("cwd"), directory).unwrap_or(false) {
            return Some("the process in its postmaster.pid can't be seen, or doesn't work in it");
        }
        let mounts = |process: PathBuf| fs::read_link(process.join("ns/mnt"));
        match (mounts(own), mounts(processes.join("self"))) {
            (Ok(of_server), Ok(ours)) if of_server == ours => {}
            _ => return Some("the server may see other files than this program, as in a container"),
        }
        let parent = fs::read_to_string(processes.join(backend.to_string()).join("stat"));
        match parent.ok().as_deref().and_then(parent_in) {
            Some(parent) if parent == self.pid => None,
            _ => Some("the session is that of another server"),
        }
    }
}

/// Whether two names lead to one directory.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let identity = |path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    Ok(identity(one)? == identity(other)?)
}

/// Returns the number of a process's parent from its `stat`: the second field behind its name, which is in parentheses
/// and may contain anything.
fn parent_in(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Makes a `/proc` in which the process 7 serves `directory`, with the session's process 8.
#[cfg(test)]
pub(super) fn served(processes: &Path, directory: &Path) {
    for process in ["self", "7", "8"] {
        fs::create_dir_all(processes.join(process).join("ns")).unwrap();
        std::os::unix::fs::symlink("mnt:[1]", processes.join(process).join("ns/mnt")).unwrap();
    }
    std::os::unix::fs::symlink(directory, processes.join("7/cwd")).unwrap();
    fs::write(processes.join("8/stat"), "8 (postgres: a) b) S 7 7 7 0 -1").unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(pid: u32) -> String {
        format!("{pid}\n/var/lib/postgresql/15/main\n1795948572\n5432\n/var/run/postgresql\n*\n")
    }

    #[test]
    fn the_server_works_in_the_directory_and_is_the_parent_of_the_session() {
        let scratch = tempfile::tempdir().unwrap();
        let (processes, directory) = (scratch.path().join("proc"), scratch.path().join("data"));
        fs::create_dir(&directory).unwrap();
        served(&processes, &directory);
        let server = Postmaster::parse(&file(7)).unwrap();
        assert!(server.started_at(1_795_948_574) && !server.started_at(1_795_949_574));
        assert_eq!(server.obstacle(&processes, &directory, 8), None);

        let obstacle = |pid: u32, directory: &Path, backend: u32| {
            Postmaster::parse(&file(pid))
                .unwrap()
                .obstacle(&processes, directory, backend)
                .unwrap_or_default()
        };
        assert!(obstacle(9, &directory, 8).contains("can't be seen"));
        assert!(obstacle(7, scratch.path(), 8).contains("doesn't work in it"));
        assert!(obstacle(7, &directory, 7).contains("another server"));
        fs::write(processes.join("8/stat"), "8 (postgres) S 1 7 7 0 -1").unwrap();
        assert!(obstacle(7, &directory, 8).contains("another server"));
        fs::remove_file(processes.join("7/ns/mnt")).unwrap();
        std::os::unix::fs::symlink("mnt:[2]", processes.join("7/ns/mnt")).unwrap();
        assert!(obstacle(7, &directory, 8).contains("other files"));
    }

    #[test]
    fn a_file_that_no_server_writes_names_none() {
        for text in ["", "7", "-7\n/data\n1\n", "x\n/data\n1\n", "7\n/data\nx\n"] {
            assert_eq!(Postmaster::parse(text), None, "{text}");
        }
    }
}
