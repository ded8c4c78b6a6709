//! Which program to run, and with which arguments.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::ConnectOptions;
use crate::{BaseBackupRequest, SourceError, SourceErrorKind};

const PROGRAM: &str = "pg_basebackup";

/// Where packages install one directory per version: the parent, and what precedes and follows the version in it.
const INSTALLED: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// The arguments for one backup, as a tar stream on the standard output.
///
/// Values are joined to their option, so that one that begins with a dash isn't taken for another option.
pub(super) fn arguments(connect: &ConnectOptions, request: &BaseBackupRequest) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["--format=tar", "--pgdata=-", "--no-password", "--verbose"].map(str::to_owned).into();
    arguments.push(format!("--wal-method={}", if request.include_wal { "fetch" } else { "none" }));
    arguments.push(format!("--checkpoint={}", request.checkpoint));
    arguments.push(format!("--label={}", request.label));
    arguments.extend(connect.host.as_ref().map(|host| format!("--host={host}")));
    arguments.extend(connect.port.map(|port| format!("--port={port}")));
    arguments.extend(connect.user.as_ref().map(|user| format!("--username={user}")));
    arguments
}

/// Runs the given program, or else the first one found.
pub(super) fn spawn(program: Option<&Path>, arguments: &[String]) -> Result<Child, SourceError> {
    if let Some(program) = program {
        return spawn_at(program, arguments).map_err(|error| cannot_run(program, error));
    }
    let in_path = Path::new(PROGRAM);
    for candidate in std::iter::once(in_path.to_owned()).chain(installed_programs()) {
        match spawn_at(&candidate, arguments) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map_err(|error| cannot_run(&candidate, error)),
        }
    }
    Err(cannot_run(in_path, io::ErrorKind::NotFound.into()))
}

#[expect(clippy::disallowed_methods, reason = "a setting of libpq's own, for the child that inherits it")]
fn spawn_at(program: &Path, arguments: &[String]) -> io::Result<Child> {
    let mut command = Command::new(program);
    if std::env::var_os("PGCONNECT_TIMEOUT").is_none() {
        // libpq's own default is to wait for ever.
        command.env("PGCONNECT_TIMEOUT", "30");
    }
    command
        .args(arguments)
        // Its messages are parsed: they must be neither translated nor colored.
        .env("LC_ALL", "C")
        .env("PG_COLOR", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

fn cannot_run(program: &Path, error: io::Error) -> SourceError {
    let message = format!(
        "cannot run {}; install PostgreSQL's client programs, or say where {PROGRAM} is",
        program.display()
    );
    SourceError::new(SourceErrorKind::ProgramMissing, message).caused_by(error)
}

/// The programs that distributions' packages installed, newest version first.
fn installed_programs() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, before, after) in INSTALLED {
        // A directory that isn't there or can't be read has no program for us.
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            if let Some(version) = version_of(&entry.file_name(), before) {
                found.push((version, entry.path().join(after).join(PROGRAM)));
            }
        }
    }
    newest_first(found)
}

/// The version in a directory's name: `16` is (16, 0), and `9.6` is (9, 6).
fn version_of(directory: &OsStr, before: &str) -> Option<(u32, u32)> {
    let version = directory.to_str()?.strip_prefix(before)?;
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn newest_first(mut found: Vec<((u32, u32), PathBuf)>) -> Vec<PathBuf> {
    found.sort_by(|(a, _), (b, _)| b.cmp(a));
    found.into_iter().map(|(_, program)| program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Checkpoint;

    fn request() -> BaseBackupRequest {
        BaseBackupRequest { label: "-x; rm".to_owned(), checkpoint: Checkpoint::Spread, include_wal: false }
    }

    #[test]
    fn what_is_not_given_is_left_to_libpq() {
        let expected = [
            "--format=tar",
            "--pgdata=-",
            "--no-password",
            "--verbose",
            "--wal-method=none",
            "--checkpoint=spread",
            "--label=-x; rm",
        ];
        assert_eq!(arguments(&ConnectOptions::default(), &request()), expected);
    }

    #[test]
    fn what_is_given_becomes_an_argument() {
        let connect =
            ConnectOptions { host: Some("db1".into()), port: Some(5433), user: Some("backup".into()) };
        let request = BaseBackupRequest { checkpoint: Checkpoint::Fast, include_wal: true, ..request() };
        let arguments = arguments(&connect, &request);
        for expected in
            ["--wal-method=fetch", "--checkpoint=fast", "--host=db1", "--port=5433", "--username=backup"]
        {
            assert!(arguments.iter().any(|argument| argument == expected), "{expected}");
        }
    }

    #[test]
    fn the_version_is_read_from_the_directory() {
        assert_eq!(version_of(OsStr::new("16"), ""), Some((16, 0)));
        assert_eq!(version_of(OsStr::new("9.6"), ""), Some((9, 6)));
        assert_eq!(version_of(OsStr::new("pgsql-17"), "pgsql-"), Some((17, 0)));
        for other in ["", "lib", "16.devel", "pgsql"] {
            assert_eq!(version_of(OsStr::new(other), ""), None, "{other}");
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let versions = [(9, 6), (16, 0), (9, 10), (10, 0)];
        let found = versions.map(|version| (version, PathBuf::from(format!("{}.{}", version.0, version.1))));
        let expected = ["16.0", "10.0", "9.10", "9.6"].map(PathBuf::from);
        assert_eq!(newest_first(found.into()), expected);
    }

    #[test]
    fn an_explicit_program_that_is_not_there_is_named() {
        let error = spawn(Some(Path::new("/nowhere/pg_basebackup")), &[]).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::ProgramMissing);
        assert!(error.to_string().contains("/nowhere/pg_basebackup"), "{error}");
    }
}
