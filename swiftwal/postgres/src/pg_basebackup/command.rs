//! Finds the program to run, and builds its arguments.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::{BaseBackupRequest, ConnectOptions, SourceError, SourceErrorKind};

pub(super) const PG_BASEBACKUP: &str = "pg_basebackup";
pub(super) const PSQL: &str = "psql";

/// The directories with one subdirectory per version: the parent, and the text before and after the version.
const INSTALLED: [(&str, &str, &str); 2] = [("/usr/lib/postgresql", "", "bin"), ("/usr", "pgsql-", "bin")];

/// The hint for a missing program.
const INSTALL: &str = "install PostgreSQL's client programs, of the server's version or a newer one: postgresql-client \
    (Debian, Ubuntu), postgresql17 (Red Hat and similar, from PostgreSQL's own repository; their own package is \
    postgresql-server), postgresql17-client (Alpine); or add their directory to PATH";

/// The arguments for one backup, as a tar stream on standard output.
pub(super) fn arguments(connect: &ConnectOptions, request: &BaseBackupRequest) -> Vec<String> {
    let mut arguments: Vec<String> =
        ["--format=tar", "--pgdata=-", "--no-password", "--verbose"].map(str::to_owned).into();
    arguments.push(format!("--wal-method={}", if request.include_wal { "fetch" } else { "none" }));
    arguments.push(format!("--checkpoint={}", request.checkpoint));
    arguments.push(format!("--label={}", request.label));
    arguments.extend(request.estimate_size.then(|| "--progress".to_owned()));
    arguments.extend(request.copy.max_rate.map(|rate| format!("--max-rate={rate}")));
    arguments.extend(request.copy.skips_checksums.then(|| "--no-verify-checksums".to_owned()));
    let given = connect.conninfo.connection_string();
    arguments.extend((!given.is_empty()).then(|| format!("--dbname={given}")));
    arguments.extend(connection_arguments(connect));
    arguments
}

/// The connection arguments, which all of PostgreSQL's programs share. A value is joined to its option, so that one that
/// begins with a dash isn't taken for an option.
pub(super) fn connection_arguments(connect: &ConnectOptions) -> impl Iterator<Item = String> {
    let host = connect.host.as_ref().map(|host| format!("--host={host}"));
    let port = connect.port.map(|port| format!("--port={port}"));
    let user = connect.user.as_ref().map(|user| format!("--username={user}"));
    [host, port, user].into_iter().flatten()
}

/// Runs the program at `path`, or the first one found under `name`, with this standard input.
pub(super) fn spawn(
    name: &str,
    path: Option<&Path>,
    arguments: &[String],
    stdin: fn() -> Stdio,
) -> Result<Child, SourceError> {
    if let Some(path) = path {
        return spawn_at(path, arguments, stdin).map_err(|error| cannot_run(path, error));
    }
    let in_path = Path::new(name);
    for candidate in std::iter::once(in_path.to_owned()).chain(installed_programs(name)) {
        match spawn_at(&candidate, arguments, stdin) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result.map_err(|error| cannot_run(&candidate, error)),
        }
    }
    Err(cannot_run(in_path, io::ErrorKind::NotFound.into()))
}

#[expect(clippy::disallowed_methods, reason = "a setting of libpq's own, for the child that inherits it")]
fn spawn_at(program: &Path, arguments: &[String], stdin: fn() -> Stdio) -> io::Result<Child> {
    let mut command = Command::new(program);
    if std::env::var_os("PGCONNECT_TIMEOUT").is_none() {
        // By default libpq waits for ever.
        command.env("PGCONNECT_TIMEOUT", "30");
    }
    command
        .args(arguments)
        // The messages are parsed, so they must be neither translated nor coloured.
        .env("LC_ALL", "C")
        .env("PG_COLOR", "never")
        .stdin(stdin())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
}

fn cannot_run(program: &Path, error: io::Error) -> SourceError {
    let what = if error.kind() == io::ErrorKind::NotFound { "find" } else { "run" };
    let message = format!("can't {what} {}", program.display());
    SourceError::new(SourceErrorKind::ProgramMissing, message).with_hint(INSTALL).caused_by(error)
}

/// Returns the programs that distributions' packages have installed, newest version first.
fn installed_programs(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for (parent, before, after) in INSTALLED {
        // A directory that doesn't exist or can't be read contains no program.
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            if let Some(version) = version_of(&entry.file_name(), before) {
                found.push((version, entry.path().join(after).join(name)));
            }
        }
    }
    newest_first(found)
}

/// Parses the version in a directory's name: `16` is (16, 0), and `9.6` is (9, 6).
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
    use crate::{Checkpoint, CopyOptions, replication::conninfo::ConnInfo};

    fn request() -> BaseBackupRequest {
        BaseBackupRequest::new("-x; rm")
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
        let connect = ConnectOptions {
            conninfo: ConnInfo::parse("postgres://db2/?application_name=it%27s").unwrap(),
            host: Some("db1".into()),
            port: Some(5433),
            user: Some("backup".into()),
        };
        let request = BaseBackupRequest {
            checkpoint: Checkpoint::Fast,
            include_wal: true,
            estimate_size: true,
            copy: CopyOptions { max_rate: "5M".parse().ok(), skips_checksums: true },
            ..request()
        };
        let arguments = arguments(&connect, &request);
        for expected in [
            "--wal-method=fetch",
            "--checkpoint=fast",
            "--progress",
            "--max-rate=5120k",
            "--no-verify-checksums",
            r"--dbname=application_name='it\'s' host='db2'",
            "--host=db1",
            "--port=5433",
            "--username=backup",
        ] {
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
        let error =
            spawn(PG_BASEBACKUP, Some(Path::new("/nowhere/pg_basebackup")), &[], Stdio::null).unwrap_err();
        assert_eq!(error.kind(), SourceErrorKind::ProgramMissing);
        assert!(error.to_string().contains("/nowhere/pg_basebackup"), "{error}");
        assert!(error.hint().unwrap().starts_with("install PostgreSQL's client"), "{error}");
    }
}
