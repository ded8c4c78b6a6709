//! Refuses a data directory whose server runs.
//!
//! PostgreSQL itself relies on `postmaster.pid` and on shared memory that processes of an earlier server still use. The
//! file may name a process of a container or of another host, whose numbers mean nothing here, so it is refused whether
//! that process is found or not. In place of the shared memory, the processes of PostgreSQL that work in the directory
//! are looked for: all of them change into it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::root::Root;
use crate::error::{Error, Refusal, Result};

/// The file by which a server holds its data directory.
pub(super) const PID_FILE: &[u8] = b"postmaster.pid";
const MOST_PID_FILE_BYTES: u64 = 64 << 10;
const PROCESSES: &str = "/proc";

/// A directory, whatever leads to it: its device and number there.
type DirectoryId = (u64, u64);

/// A running server.
#[derive(Debug)]
struct Server {
    process: u32,
    data: PathBuf,
    /// Its data directory, and the directories to which that leads.
    directories: Vec<DirectoryId>,
}

/// Refuses the data directory if a server may be running in it.
///
/// # Errors
///
/// [`Error::Refused`].
pub(super) fn refuse_running(root: &mut Root) -> Result<()> {
    refuse_running_by(root, Path::new(PROCESSES))
}

/// Refuses the directory of a tablespace, or of the WAL, if a running server uses it.
///
/// # Errors
///
/// [`Error::Refused`].
pub(super) fn refuse_used(root: &Root) -> Result<()> {
    refuse_used_by(root, Path::new(PROCESSES))
}

fn refuse_running_by(root: &mut Root, processes: &Path) -> Result<()> {
    refuse_used_by(root, processes)?;
    if !root.exists(PID_FILE) {
        return Ok(());
    }
    let path = root.path().display().to_string();
    let text = root.read(PID_FILE, MOST_PID_FILE_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let process = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
    let process = process.map(|process| format!(" of process {process}")).unwrap_or_default();
    Err(Error::Refused(Refusal::destination(
        format!(
            "{path} contains postmaster.pid{process}: PostgreSQL is running there, perhaps in a container or on another \
             host, or it crashed"
        ),
        "stop PostgreSQL; if it has crashed and nothing else uses the directory, remove postmaster.pid",
    )))
}

fn refuse_used_by(root: &Root, processes: &Path) -> Result<()> {
    let Ok(found) = rustix::fs::fstat(root.opened()) else { return Ok(()) };
    let id = (found.st_dev, found.st_ino);
    let user = servers(processes).into_iter().find(|server| server.directories.contains(&id));
    let Some(Server { process, data, directories }) = user else { return Ok(()) };
    let (path, data) = (root.path().display(), data.display());
    Err(Error::Refused(if directories.first() == Some(&id) {
        Refusal::destination(
            format!("PostgreSQL is running in {path} (process {process})"),
            format!("stop it first, as with pg_ctl stop -D {path}"),
        )
    } else {
        Refusal::destination(
            format!("PostgreSQL, which is running in {data} (process {process}), uses {path}"),
            "give other directories, with --tablespace-mapping or --waldir; or stop that server, if its files are to be \
             replaced",
        )
    }))
}

/// Returns the running servers: all of their processes work in the data directory.
fn servers(processes: &Path) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for entry in fs::read_dir(processes).into_iter().flatten().flatten() {
        let Some(process) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        if !(name.contains("postgres") || name.contains("postmaster")) {
            continue;
        }
        let data = entry.path().join("cwd");
        let Some(id) = id_of(&data) else { continue };
        if servers.iter().any(|known| known.directories.first() == Some(&id)) {
            continue;
        }
        let spaces = fs::read_dir(data.join("pg_tblspc")).into_iter().flatten().flatten();
        let others =
            [data.join("pg_wal"), data.join("pg_xlog")].into_iter().chain(spaces.map(|space| space.path()));
        let directories = std::iter::once(id).chain(others.filter_map(|path| id_of(&path))).collect();
        let data = fs::read_link(&data).unwrap_or(data);
        servers.push(Server { process, data, directories });
    }
    servers
}

fn id_of(path: &Path) -> Option<DirectoryId> {
    fs::metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_found_by_its_file_or_by_a_process_that_works_in_the_directory() {
        let scratch = tempfile::tempdir().unwrap();
        let (processes, data) = (scratch.path().join("proc"), scratch.path().join("data"));
        fs::create_dir(&data).unwrap();
        let mut root = Root::open(&data, None).unwrap();
        let mut refused = || refuse_running_by(&mut root, &processes).map_err(|error| error.in_full());
        let process = |number: &str, name: &str, place: &Path| {
            let process = processes.join(number);
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("comm"), name).unwrap();
            std::os::unix::fs::symlink(place, process.join("cwd")).unwrap();
        };
        process("7", "bash\n", &data);
        process("8", "postgres\n", scratch.path());
        fs::create_dir(processes.join("self")).unwrap();
        refused().unwrap();
        for text in ["4711\n/data\n", "", "\u{1b}"] {
            fs::write(data.join("postmaster.pid"), text).unwrap();
            let message = refused().unwrap_err();
            assert!(message.contains("postmaster.pid") && message.contains("container"), "{message}");
            assert_eq!(message.contains("of process 4711"), text.contains("4711"), "{message}");
        }
        process("9", "postgres\n", &data);
        let message = refused().unwrap_err();
        assert!(message.contains("is running in") && message.contains("process 9"), "{message}");
    }

    #[test]
    fn a_server_uses_the_directories_that_its_links_lead_to() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for name in ["data/pg_tblspc", "space", "wal", "other", "proc/9"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        let link = |target: &str, name: &str| std::os::unix::fs::symlink(path(target), path(name)).unwrap();
        link("space", "data/pg_tblspc/16384");
        link("wal", "data/pg_wal");
        link("data", "proc/9/cwd");
        fs::write(path("proc/9/comm"), "postgres\n").unwrap();
        for (name, is_used) in [("space", true), ("wal", true), ("other", false)] {
            let root = Root::open(&path(name), None).unwrap();
            let refused = refuse_used_by(&root, &path("proc")).map_err(|error| error.in_full());
            assert_eq!(refused.is_err(), is_used, "{name}: {refused:?}");
            let data = path("data").display().to_string();
            assert!(refused.map_or_else(|message| message.contains(&data), |()| true));
        }
    }
}
