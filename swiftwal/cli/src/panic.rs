//! Ends the process on a panic.

use std::{panic, process};

use crate::log;

/// Makes a panic in any thread print what happened and abort the process.
///
/// By default a panic exits with 101. As the exit code of a restore_command, that would tell PostgreSQL that the
/// archive ends here, and it would promote.
pub(crate) fn abort_on_panic() {
    end_on_panic(process::abort);
}

/// As [`abort_on_panic`], but with exit code 1, for a process that may be adopted by PostgreSQL: PostgreSQL takes a signal
/// for the crash of a server process, and restarts the server.
pub(crate) fn exit_on_panic() {
    end_on_panic(|| process::exit(1));
}

fn end_on_panic(end: fn() -> !) {
    panic::set_hook(Box::new(move |panic| {
        log::say(format_args!("internal error, please report it: {panic}"));
        end();
    }));
}

#[cfg(test)]
mod tests {
    use std::{
        env::{current_exe, var_os},
        process::Command,
    };

    use super::*;

    const PANICS: &str = "SWIFTWAL_TEST_PANICS";

    /// Runs itself in a process of its own, which the panic ends.
    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "it isn't configuration, but tells the test which process it is"
    )]
    fn the_exit_code_of_a_panic_can_be_1() {
        if var_os(PANICS).is_some() {
            exit_on_panic();
            panic!("a test");
        }
        let this = ["--exact", "panic::tests::the_exit_code_of_a_panic_can_be_1", "--nocapture"];
        let ran = Command::new(current_exe().unwrap()).args(this).env(PANICS, "").output().unwrap();
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.contains("internal error, please report it: ") && stderr.contains("a test"),
            "{stderr}"
        );
    }
}
