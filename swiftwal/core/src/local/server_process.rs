//! The server that runs in a data directory, according to its `postmaster.pid`.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use rustix::{
    io::Errno,
    process::{Pid, getppid, test_kill_process},
};

use crate::local::regular_file::read_regular_file;

/// More than `postmaster.pid` contains.
const MOST_BYTES: u64 = 64 << 10;

/// A server that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerProcess {
    pid: Pid,
    is_single_user: bool,
    /// The inode of its `postmaster.pid`: the next server creates another file.
    inode: u64,
}

impl ServerProcess {
    /// Returns the server of a data directory.
    ///
    /// # Errors
    ///
    /// Those of the system; [`io::ErrorKind::NotFound`] if no server runs there: one that crashed leaves its
    /// `postmaster.pid`, too; [`io::ErrorKind::InvalidData`] if that file names no process.
    pub fn running_in(data_directory: &Path) -> io::Result<Self> {
        let file = data_directory.join("postmaster.pid");
        let text = read_regular_file(&file, MOST_BYTES)?;
        let text = String::from_utf8_lossy(&text);
        // A server in single-user mode writes a negative number.
        let number = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
        let pid = number.and_then(i32::checked_abs).and_then(Pid::from_raw);
        let (Some(pid), Some(number)) = (pid, number) else { return Err(io::ErrorKind::InvalidData.into()) };
        // Another user's process can't be signalled, but it runs.
        if test_kill_process(pid) == Err(Errno::SRCH) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self { pid, is_single_user: number < 0, inode: fs::metadata(file)?.ino() })
    }

    /// Whether it runs in single-user mode.
    #[must_use]
    pub fn is_single_user(&self) -> bool {
        self.is_single_user
    }

    /// Whether it has started this process, or an ancestor of this process has.
    #[must_use]
    pub fn is_ancestor(&self) -> bool {
        let mut ancestor = getppid();
        while let Some(pid) = ancestor.filter(|pid| *pid != self.pid) {
            ancestor = parent_of(pid);
        }
        ancestor.is_some()
    }

    /// Whether it is the first process of a container.
    #[must_use]
    pub(crate) fn is_first(&self) -> bool {
        self.pid.is_init()
    }
}

/// Returns the parent of a process; none if it has none, or if the system doesn't tell.
fn parent_of(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(parent.trim().parse().ok()?)
}
