//! PostgreSQL base backups, WAL archiving and point-in-time recovery to object storage.
//!
//! [`run`] is the complete program `swiftwal`; builds differ only in the backends of the registry that they pass to
//! it. This is a program with its own backend:
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     swiftwal::run(swiftwal_backends::registry()) // .with(MyBackend)
//! }
//! ```
//!
//! [`Exit`] documents the exit codes.

mod archiver;
mod args;
mod command;
mod config;
mod deadline;
mod exit;
mod failure;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz {
    //! Fuzzing targets. Each is beside the parser that it tests.

    pub use crate::config::configuration;
}
mod ending;
mod hardening;
mod isolated_server;
mod log;
mod message;
mod nagios;
mod output;
mod panic;
mod progress;
mod prometheus;
mod server_commands;
mod session;
mod signal;
mod size;
mod standby;
mod stop;
mod systemd;
mod values;
mod watchdog;
mod within;

use std::{env, ffi::OsString, process::ExitCode, time::Duration};

use rustix::{fs::Mode, process::umask};
use swiftwal_core::Registry;

use self::{
    args::Cli,
    config::{Config, Flags, SettingNames},
    deadline::Deadline,
    ending::Ending,
    exit::Caller,
    failure::Failure,
    output::Output,
    session::Session,
    watchdog::{Limits, Watchdog},
};

pub use self::exit::Exit;

/// Runs the program with this process's arguments, environment and streams, and returns how it must exit.
///
/// It changes the whole process: it sets the umask to 077, since a repository contains a complete database; it disables
/// core dumps, which would contain passwords and tokens; a panic anywhere aborts the process, since PostgreSQL would
/// take the usual exit code 101 for "not in the archive"; and the process that fetches WAL ahead closes every file that
/// it has inherited, except for its standard streams.
#[must_use]
pub fn run(registry: Registry) -> ExitCode {
    hardening::forbid_core_dumps();
    umask(Mode::RWXG | Mode::RWXO);
    panic::abort_on_panic();
    let arguments: Vec<OsString> = env::args_os().collect();
    match Cli::parse_with(&arguments, &SettingNames::of(&registry)) {
        Ok((cli, flags)) => run_command(cli, flags, &registry),
        Err(error) => refuse(&error, Caller::by_arguments(&arguments)),
    }
    .into()
}

/// Returns the whole command line of a build with this registry, with every option: for its man pages and the completion
/// of shells.
#[must_use]
pub fn command_line(registry: &Registry) -> clap::Command {
    Cli::complete(&SettingNames::of(registry))
}

fn run_command(cli: Cli, flags: Flags, registry: &Registry) -> Exit {
    let ending = Ending { caller: cli.command.caller(), history: cli.command.history() };
    let limits = Limits {
        deadline: Deadline::of(cli.global.deadline, ending.caller),
        clearing: cli.command.clearing(),
    };
    if ending.caller == Caller::RestoreWal {
        panic::exit_on_panic();
        // PostgreSQL before version 16 leaves its files to the programs that it starts. Where they can't be listed, this
        // process has them until it ends.
        drop(hardening::close_inherited_files());
    }
    log::to_stderr(cli.global.verbose);
    let watchdog = match Watchdog::start(limits, ending) {
        Ok(watchdog) => watchdog,
        Err(failure) => return ending.report(&failure),
    };
    let output = Output { json: cli.global.json, verbose: cli.global.verbose > 0 };
    watchdog.doing("reading the configuration");
    let deadline = cli.global.deadline;
    let config = Config::resolve(flags, config::environment(), registry, ending.caller != Caller::Anyone);
    let outcome = config.map_err(Failure::from).and_then(|config| {
        cli.command.run(&Session { registry, config, output, deadline, watchdog: &watchdog })
    });
    match outcome {
        Ok(()) => Exit::Success,
        Err(failure) => {
            watchdog.reporting();
            ending.report(&failure)
        }
    }
}

/// Prints the requested help, or what is wrong with the arguments.
fn refuse(error: &clap::Error, caller: Caller) -> Exit {
    let ending = Ending { caller, history: None };
    let limits = Limits { deadline: Deadline::of(None, caller), clearing: Duration::ZERO };
    // Printing may hang, too.
    let _watchdog = Watchdog::start(limits, ending);
    // If the message can't be printed, only the exit code reports the failure.
    let printed = error.print();
    if caller == Caller::Monitoring && error.use_stderr() {
        ending.report(&Failure::Usage);
    }
    match (error.use_stderr(), printed) {
        (true, _) => Exit::of(&Failure::Usage, caller),
        (false, Ok(())) => Exit::Success,
        (false, Err(error)) => Exit::of(&error.into(), caller),
    }
}
