//! Refuses a data directory whose server runs.
//!
//! PostgreSQL itself relies on `postmaster.pid` and on shared memory that processes of an earlier server still use. The
//! file may name a process of a container or of another host, whose numbers mean nothing here, so it is refused whether
//! that process is found or not. In place of the shared memory, the processes of PostgreSQL that work in the directory
//! are looked for: all of them change into it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::root::Root;
use crate::error::{Error, Refusal, Result};

const PID_FILE: &[u8] = b"postmaster.pid";
const MOST_PID_FILE_BYTES: u64 = 64 << 10;

/// Refuses the data directory if a server may be running in it.
///
/// # Errors
///
/// [`Error::Refused`].
pub(super) fn refuse_running(root: &mut Root) -> Result<()> {
    refuse_running_by(root, Path::new("/proc"))
}

fn refuse_running_by(root: &mut Root, processes: &Path) -> Result<()> {
    let path = root.path().display().to_string();
    let working = working_in(root, processes);
    let refused = |what: String, hint: String| Err(Error::Refused(Refusal::destination(what, hint)));
    if let Some(process) = working.first() {
        return refused(
            format!("PostgreSQL is running in {path} (process {process})"),
            format!("stop it first, as with pg_ctl stop -D {path}"),
        );
    }
    if !root.exists(PID_FILE) {
        return Ok(());
    }
    let text = root.read(PID_FILE, MOST_PID_FILE_BYTES).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let process = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());
    let process = process.map(|process| format!(" of process {process}")).unwrap_or_default();
    refused(
        format!(
            "{path} contains postmaster.pid{process}: PostgreSQL is running there, perhaps in a container or on another \
             host, or it crashed"
        ),
        "stop PostgreSQL; if it has crashed and nothing else uses the directory, remove postmaster.pid"
            .to_owned(),
    )
}

/// Returns the processes of PostgreSQL whose working directory is `root`.
fn working_in(root: &Root, processes: &Path) -> Vec<u32> {
    let Ok(directory) = rustix::fs::fstat(root.opened()) else { return Vec::new() };
    let is_there = |process: &Path| {
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
        let is_postgres = name.contains("postgres") || name.contains("postmaster");
        is_postgres
            && fs::metadata(process.join("cwd"))
                .is_ok_and(|found| (found.dev(), found.ino()) == (directory.st_dev, directory.st_ino))
    };
    let entries = fs::read_dir(processes).into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    numbers.filter(|(_, path)| is_there(path)).map(|(process, _)| process).collect()
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
}
