//! What the whole process must not do: write secrets in its memory to disk, or keep files of its parent open.

use std::{fs, io, os::fd::RawFd};

use nix::unistd::close;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Disables core dumps of this process, which would contain passwords and tokens.
pub(crate) fn forbid_core_dumps() {
    // Both settings are needed: the limit isn't checked if the kernel pipes dumps into a program, and only the limit is
    // inherited by pg_basebackup. If either fails, nothing can be done about it.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}

/// Closes every file that this process has inherited, except for its standard streams. Called before it opens any.
pub(crate) fn close_inherited_files() -> io::Result<()> {
    // Listed first, since closing files changes the list. It contains the one through which it is read, which is closed
    // by then.
    let open: Vec<RawFd> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        let _ = close(number);
    }
    Ok(())
}
