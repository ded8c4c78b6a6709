//! The program's exit codes, such as that of an outage, and their meaning.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use swiftwal_core::{Error, OpenError};

use crate::{
    failure::{Failure, Finding},
    nagios::State,
    signal::Signal,
    standby::serves_standby,
    stop::Stop,
};

/// The exit codes as `--help` shows them; docs/operations.md has the same table, and what PostgreSQL does with them.
pub(crate) const TABLE: &str = "\
Exit codes:
  0    done
  1    failed, or not done within --deadline; the message says why
  2    the command line or the configuration is wrong; nothing was done
  3    done, but damage was found
  4    it couldn't be proven that all is well (drill: also, not done within
       --deadline)
  128  restore-wal only: it isn't known whether the file is in the repository,
       or later WAL is there
  with --nagios: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, as monitoring has it
  129, 130, 143
       stopped by SIGHUP, SIGINT or SIGTERM (receive-wal: 0)
  141  standard output was closed; an uncommitted backup was abandoned
  archive-wal fails with 1 or 2 only. restore-wal fails with 1 only if the
  file is proven not to be in the repository, and either no later WAL is
  there or PostgreSQL doesn't need the file from it, since pg_wal has it, for
  example. With --end-at-hole it also does so at a hole, and on a standby
  for every failure but a signal. Otherwise it fails with 128 or above.";

/// An exit code.
///
/// PostgreSQL acts on the codes of two commands, so these two are special:
///
/// - `archive-wal` fails with 1 to 125 only: above that, PostgreSQL restarts its archiver.
/// - `restore-wal` fails with 1 only if the storage has proven that the file is missing, and has no WAL that comes after
///   it: PostgreSQL takes 1 to 125 for the end of the archive, ends recovery and promotes. Any other failure, including a
///   wrong argument, is [`NoAnswer`](Self::NoAnswer), which stops recovery instead. If the working directory is a standby's
///   (it contains `standby.signal`, or a `recovery.conf` with `standby_mode` on), other failures are 1 as well: a standby
///   asks again, and must not stop whenever the storage fails.
///
/// A panic has no exit code: it aborts the process by a signal. Only that of the process that fetches WAL ahead is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum Exit {
    /// The command succeeded.
    Success = 0,
    /// The command failed. For `restore-wal`: the file is proven to be missing.
    Failure = 1,
    /// The command line or the configuration is wrong, and nothing was done.
    Usage = 2,
    /// The command succeeded, but found damage: a backup with bad pages, or an object with other content than was
    /// stored.
    DamageFound = 3,
    /// The command couldn't determine whether everything is in order.
    Unproven = 4,
    /// `restore-wal` doesn't know whether the file exists, can't fetch it, or has found a hole in the WAL.
    NoAnswer = 128,
    /// Stopped by SIGHUP, as when the terminal is closed. Partial work was removed as far as the storage allowed.
    HungUp = 129,
    /// Stopped by SIGINT. Partial work was removed as far as the storage allowed.
    Interrupted = 130,
    /// Standard output was closed; a backup that wasn't committed yet was abandoned.
    ClosedStdout = 141,
    /// Stopped by SIGTERM. Partial work was removed as far as the storage allowed.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The program that acts on the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A person or a script.
    Anyone,
    /// PostgreSQL, through archive_command.
    ArchiveCommand,
    /// PostgreSQL, through restore_command.
    RestoreCommand,
    /// restore-wal, which has ended by then. In a container, the process may have become a child of PostgreSQL's first
    /// process, which takes every code but 0 and 1 for the crash of a server process.
    RestoreWal,
    /// A monitoring system, through --nagios.
    Monitoring,
}

impl Caller {
    /// Returns the default of `--deadline`. PostgreSQL waits for these two commands, and does nothing else meanwhile.
    pub(crate) const fn default_deadline(self) -> Option<Duration> {
        match self {
            Self::Anyone | Self::RestoreWal => None,
            Self::ArchiveCommand => Some(Duration::from_secs(60)),
            Self::RestoreCommand => Some(Duration::from_secs(120)),
            // Monitoring systems wait for a minute, and then report no reason.
            Self::Monitoring => Some(Duration::from_secs(30)),
        }
    }

    /// Guesses the caller from arguments that couldn't be parsed.
    ///
    /// If in doubt, it is restore_command: only there a low exit code is dangerous.
    pub(crate) fn by_arguments(arguments: &[OsString]) -> Self {
        let names = |command: &str| arguments.iter().skip(1).any(|argument| argument == command);
        if names("restore-wal") {
            Self::RestoreCommand
        } else if names("archive-wal") {
            Self::ArchiveCommand
        } else if names("--nagios") {
            Self::Monitoring
        } else {
            Self::Anyone
        }
    }
}

impl Exit {
    /// Returns the exit code of `failure` for `caller`.
    pub(crate) fn of(failure: &Failure, caller: Caller) -> Self {
        if caller == Caller::Monitoring {
            return Self::of_monitoring(failure);
        }
        match (caller, Self::plain(failure)) {
            (Caller::Anyone, exit) | (_, exit @ Self::Success) => exit,
            (Caller::ArchiveCommand, exit @ (Self::Failure | Self::Usage)) => exit,
            (Caller::ArchiveCommand | Caller::RestoreWal, _) => Self::Failure,
            (Caller::RestoreCommand, exit @ (Self::HungUp | Self::Interrupted | Self::Terminated)) => exit,
            (Caller::RestoreCommand, _) if failure.is_proven_absence() || serves_standby() => Self::Failure,
            (Caller::RestoreCommand | Caller::Monitoring, _) => Self::NoAnswer,
        }
    }

    /// Returns the exit code of a monitoring plugin. It has another meaning than the same one of other commands.
    fn of_monitoring(failure: &Failure) -> Self {
        match failure {
            Failure::Alert(State::Ok) => Self::Success,
            Failure::Alert(State::Warning) => Self::Failure,
            Failure::Alert(State::Critical) => Self::Usage,
            // Whoever can't look must not say that all is well, nor that something is wrong.
            _ => Self::DamageFound,
        }
    }

    fn plain(failure: &Failure) -> Self {
        match failure {
            Failure::Usage | Failure::Config(_) | Failure::Volatile(_) | Failure::Flow(Error::Usage(_)) => {
                Self::Usage
            }
            Failure::Flow(Error::Open(error)) if !matches!(error, OpenError::Unavailable { .. }) => {
                Self::Usage
            }
            Failure::Flow(_)
            | Failure::TimelineInUse { .. }
            | Failure::Isolation(_)
            | Failure::Runtime(_)
            | Failure::Output(_)
            | Failure::CheckFailed => Self::Failure,
            Failure::Stopped(Stop::Signal(signal)) => match signal {
                Signal::Hangup => Self::HungUp,
                Signal::Interrupt => Self::Interrupted,
                Signal::Terminate => Self::Terminated,
            },
            Failure::Stopped(Stop::Deadline(_)) | Failure::Alert(_) => Self::Failure,
            Failure::ClosedStdout => Self::ClosedStdout,
            Failure::Found(Finding::Damage) => Self::DamageFound,
            Failure::Found(Finding::Unproven) => Self::Unproven,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_help_and_that_of_the_docs_have_every_code() {
        let docs = include_str!("../../../docs/operations.md");
        let rows: Vec<_> = docs.lines().filter(|line| line.starts_with('|')).collect();
        for exit in [
            Exit::Success,
            Exit::Failure,
            Exit::Usage,
            Exit::DamageFound,
            Exit::Unproven,
            Exit::NoAnswer,
            Exit::HungUp,
            Exit::Interrupted,
            Exit::ClosedStdout,
            Exit::Terminated,
        ] {
            let code = (exit as u8).to_string();
            let is_code = |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|part| part == code);
            assert!(TABLE.lines().any(is_code), "{code}");
            let first_column = |row: &&str| row.split('|').nth(1).is_some_and(is_code);
            assert!(rows.iter().any(first_column), "{code}");
        }
    }
}
