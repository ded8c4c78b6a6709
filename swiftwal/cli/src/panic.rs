//! What a bug does to the process.

use std::{panic, process};

use crate::log;

/// From now on a panic, on whichever thread, says what happened and aborts the process.
///
/// The usual way out of a panic is exit code 101. As a restore_command's that would tell PostgreSQL that the
/// archive ends here, and it would promote.
pub(crate) fn abort_on_panic() {
    panic::set_hook(Box::new(|panic| {
        log::say(format_args!("internal error, please report it: {panic}"));
        process::abort();
    }));
}
