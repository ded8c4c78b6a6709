//! A server on a restored copy that can't do any harm: for commands that look into a backup.
//!
//! It reads nothing of the original server's configuration, listens only on a socket in a directory of this user, archives
//! nothing, connects to nothing, loads no libraries but allowed ones, and has no tablespace outside its directory. What it
//! leaves behind after a `kill -9` of this program is found by its lock, and removed by the next command.

mod error;
mod log;
mod scratch;
mod server;
mod settings;
mod tools;

pub(crate) use self::{
    error::IsolationError,
    log::{ServerLog, is_of_this_machine},
    scratch::Scratch,
    server::{Ended, IsolatedServer},
    settings::Isolation,
    tools::{Environment, Ran, Tools},
};

/// The nice value of this program and of everything that it starts.
const NICE: i32 = 10;

/// Lets this thread, and what it starts from now on, have the processor only when no other process wants it.
pub(crate) fn lower_priority() {
    // Where this isn't allowed, the work is done at the usual priority.
    let _ = rustix::process::nice(NICE);
}

/// Refuses to go on as root, as which PostgreSQL doesn't run.
pub(crate) fn refuse_root() -> Result<(), IsolationError> {
    if rustix::process::geteuid().is_root() { Err(IsolationError::AsRoot) } else { Ok(()) }
}
