//! Aborts the process on a panic.

use std::{panic, process};

use crate::log;

/// Makes a panic in any thread print what happened and abort the process.
///
/// By default a panic exits with 101. As the exit code of a restore_command, that would tell PostgreSQL that the
/// archive ends here, and it would promote.
pub(crate) fn abort_on_panic() {
    panic::set_hook(Box::new(|panic| {
        log::say(format_args!("internal error, please report it: {panic}"));
        process::abort();
    }));
}
