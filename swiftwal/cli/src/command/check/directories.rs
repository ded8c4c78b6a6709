//! The checks of directories on this machine: the state directory, and the spool of receive-wal.

use std::{io, path::Path};

use rustix::fs::statvfs;
use swiftwal_core::Error;

use super::checks::Check;
use crate::output::Size;

/// The least free space of a spool. When it is full, receive-wal receives nothing more.
const LEAST_FREE: u64 = 1 << 30;

/// Looks whether the state directory can be written to. `None` if this user has no place for one.
pub(super) fn state(directory: Option<&Path>) -> Check {
    const NAME: &str = "state";
    let Some(directory) = directory else {
        let hint = "set XDG_STATE_HOME to a directory of this user's";
        return Check::warning(NAME, "this user has no home directory for the state directory", hint);
    };
    let shown = directory.display();
    if !directory.exists() {
        return Check::ok(NAME, format!("{shown} will be created"));
    }
    match try_out(directory) {
        Ok(()) => Check::ok(NAME, format!("{shown} can be written to")),
        Err(error) => Check::warning(
            NAME,
            format!("can't write to {shown}: {error}"),
            "give it to this user; until then, every call of archive-wal needs more requests, and nothing is archived or \
             fetched ahead",
        ),
    }
}

/// Looks whether the spool can be written to, and how much space it has.
pub(super) fn spool(directory: &Path) -> Check {
    const NAME: &str = "spool";
    let shown = directory.display();
    let free = try_out(directory).and_then(|()| Ok(statvfs(directory)?));
    match free.map(|free| free.f_bavail.saturating_mul(free.f_frsize)) {
        Err(source) => {
            Check::error(NAME, &Error::Local { action: "write to", path: directory.into(), source })
        }
        Ok(free) if free < LEAST_FREE => Check::warning(
            NAME,
            format!("{shown} has only {} of free space", Size(free)),
            "make room: when it is full, receive-wal receives nothing more, and WAL stays on the server",
        ),
        Ok(free) => Check::ok(NAME, format!("{shown} has {} of free space", Size(free))),
    }
}

/// Creates a file without a name, which is gone when this returns.
fn try_out(directory: &Path) -> io::Result<()> {
    tempfile::tempfile_in(directory).map(drop)
}
