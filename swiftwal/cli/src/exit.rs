//! What the program's exit codes mean.

use std::{ffi::OsString, path::Path, process::ExitCode};

use swiftwal_core::{Error, OpenError};

use crate::{failure::Failure, signal::Signal, standby::is_standby};

/// An exit code.
///
/// PostgreSQL acts on the codes of two commands, so these two bend the rules:
///
/// - `archive-wal` fails with 1 to 125 only: beyond that, PostgreSQL restarts its archiver.
/// - `restore-wal` fails with 1 only if the storage proved that the file isn't there: PostgreSQL takes 1 to 125
///   for the end of the archive, ends recovery and promotes. Anything else, a wrong argument included, is
///   [`NoAnswer`](Self::NoAnswer), which stops recovery instead. But where the working directory is that of a
///   standby (it holds `standby.signal`, or a `recovery.conf` with `standby_mode` on), it is 1 as well: a
///   standby asks again, and one that stopped whenever the storage doesn't answer would be of no use.
///
/// A panic is none of these: it aborts the process by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Success = 0,
    /// It failed; of `restore-wal`: the file is proven not to be there.
    Failure = 1,
    /// The command line or the configuration is wrong, and nothing was done.
    Usage = 2,
    /// `restore-wal` can't say whether the file is there, or can't fetch it.
    NoAnswer = 128,
    /// Stopped by SIGINT, after what was half done had been removed as far as the storage allowed.
    Interrupted = 130,
    /// Nobody reads standard output any more; a backup that wasn't committed yet was given up.
    ClosedStdout = 141,
    /// Stopped by SIGTERM, likewise.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Who acts on the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A person or a script.
    Anyone,
    /// PostgreSQL, through archive_command.
    ArchiveCommand,
    /// PostgreSQL, through restore_command.
    RestoreCommand,
}

impl Caller {
    /// Who called, by arguments that couldn't be understood.
    ///
    /// In doubt it is a restore_command: only there is a low exit code dangerous.
    pub(crate) fn by_arguments(arguments: &[OsString]) -> Self {
        let restores = arguments.iter().skip(1).any(|argument| argument == "restore-wal");
        if restores { Self::RestoreCommand } else { Self::Anyone }
    }
}

impl Exit {
    /// The exit code of `failure` for `caller`.
    pub(crate) fn of(failure: &Failure, caller: Caller) -> Self {
        match (caller, Self::plain(failure)) {
            (Caller::Anyone, exit) | (_, exit @ Self::Success) => exit,
            (Caller::ArchiveCommand, exit @ (Self::Failure | Self::Usage)) => exit,
            (Caller::ArchiveCommand, _) => Self::Failure,
            (Caller::RestoreCommand, exit @ (Self::Interrupted | Self::Terminated)) => exit,
            (Caller::RestoreCommand, _) if is_absent(failure) || is_standby(Path::new(".")) => Self::Failure,
            (Caller::RestoreCommand, _) => Self::NoAnswer,
        }
    }

    fn plain(failure: &Failure) -> Self {
        match failure {
            Failure::Usage | Failure::Config(_) => Self::Usage,
            Failure::Flow(Error::Open(error)) if !matches!(error, OpenError::Unavailable { .. }) => {
                Self::Usage
            }
            Failure::Flow(_) | Failure::Runtime(_) | Failure::Output(_) => Self::Failure,
            Failure::Stopped(Signal::Interrupt) => Self::Interrupted,
            Failure::Stopped(Signal::Terminate) => Self::Terminated,
            Failure::ClosedStdout => Self::ClosedStdout,
        }
    }
}

fn is_absent(failure: &Failure) -> bool {
    matches!(failure, Failure::Flow(Error::WalAbsent { .. }))
}
