//! The programs of one version of PostgreSQL.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Scratch, error::IsolationError, settings::CLIENT_SETTINGS};

/// The server's program.
const POSTGRES: &str = "postgres";
/// How much of a program's output is kept: its beginning.
const OUTPUT_BYTES: u64 = 4 << 10;

/// The environment of this process, without the settings for connections.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    variables: Vec<(OsString, OsString)>,
}

/// The programs of one version of PostgreSQL, in one directory.
#[derive(Debug)]
pub(crate) struct Tools {
    directory: PathBuf,
    environment: Environment,
}

/// The result of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// The beginning of what it wrote to both streams.
    pub(crate) output: String,
}

impl Environment {
    pub(crate) fn new(variables: Vec<(OsString, OsString)>) -> Self {
        Self { variables }
    }

    /// Gives `command` the settings that every program here gets: messages in English, and no setting for connections, which
    /// might lead to the original server.
    fn put_into(&self, command: &mut Command) {
        for (name, _) in &self.variables {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").stdin(Stdio::null());
    }

    fn path(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.variables.iter().find(|(name, _)| name == "PATH");
        path.into_iter().flat_map(|(_, directories)| env::split_paths(directories))
    }
}

impl Tools {
    /// Finds the programs of the major version `version`: in `directory` or, if none is given, where Debian installs them,
    /// or in `PATH`.
    ///
    /// # Errors
    ///
    /// There is no server of that version.
    pub(crate) fn find(
        directory: Option<&Path>,
        version: &str,
        environment: Environment,
    ) -> Result<Self, IsolationError> {
        let debian = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
        let directory = match directory {
            Some(given) => given.to_owned(),
            None if debian.join(POSTGRES).is_file() => debian,
            None => {
                let found = environment.path().find(|directory| directory.join(POSTGRES).is_file());
                found.ok_or_else(|| IsolationError::NoServer {
                    version: version.to_owned(),
                    searched: format!("{} and PATH", debian.display()),
                })?
            }
        };
        if !directory.join(POSTGRES).is_file() {
            let searched = directory.display().to_string();
            return Err(IsolationError::NoServer { version: version.to_owned(), searched });
        }
        // The server changes its working directory.
        let directory = directory.canonicalize().map_err(IsolationError::scratch("use", directory))?;
        let tools = Self { directory, environment };
        let program = tools.program(POSTGRES);
        let output = tools.command(POSTGRES).arg("--version").output();
        let output = match output {
            Ok(output) => output,
            Err(source) => return Err(IsolationError::Program { program, source }),
        };
        let text = String::from_utf8_lossy(&output.stdout);
        match major_version(&text) {
            Some(found) if found == version => Ok(tools),
            Some(found) => Err(IsolationError::OtherVersion { program, found, version: version.to_owned() }),
            None => {
                let text = swiftwal_postgres::printable(text.trim()).to_string();
                let source = io::Error::other(format!("it doesn't say which version it is, but '{text}'"));
                Err(IsolationError::Program { program, source })
            }
        }
    }

    /// Whether there is a program of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.program(name).is_file()
    }

    /// Returns a command that runs the program of this name.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        self.environment.put_into(&mut command);
        command
    }

    /// Runs a program until it ends. It is killed if the future is dropped. Connections are those to the isolated server: they
    /// ignore the settings that a database or a role has for loading libraries and for time limits.
    pub(crate) async fn run<Argument: AsRef<OsStr>>(
        &self,
        name: &str,
        arguments: impl IntoIterator<Item = Argument>,
        scratch: &Scratch,
    ) -> io::Result<Ran> {
        // In a file, so that no amount of output fills the memory.
        let path = scratch.path().join(format!("{name}.log"));
        let file = File::create(&path)?;
        let mut command = self.command(name);
        command.args(arguments).env("PGOPTIONS", CLIENT_SETTINGS).current_dir(scratch.path());
        command.stderr(file.try_clone()?).stdout(file);
        let status = tokio::process::Command::from(command).kill_on_drop(true).spawn()?.wait().await?;
        let mut output = Vec::new();
        File::open(&path)?.take(OUTPUT_BYTES).read_to_end(&mut output)?;
        let lines = String::from_utf8_lossy(&output);
        let lines: Vec<_> =
            lines.lines().map(|line| swiftwal_postgres::printable(line).to_string()).collect();
        Ok(Ran { code: status.code(), output: lines.join("\n").trim().to_owned() })
    }

    fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Returns the major version in the output of `postgres --version`: `15` in `postgres (PostgreSQL) 15.14 (Debian 15.14-0)`.
fn major_version(text: &str) -> Option<String> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let end = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    let major: u32 = version[..end].parse().ok()?;
    // Before version 10, the second number belonged to the major version.
    match major {
        10.. => Some(major.to_string()),
        _ => Some(version.split('.').take(2).collect::<Vec<_>>().join(".").trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_that_of_pg_version() {
        for (text, version) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some("15")),
            ("postgres (PostgreSQL) 19rc1\n", Some("19")),
            ("postgres (PostgreSQL) 9.6.24\n", Some("9.6")),
            ("postgres 15", None),
        ] {
            assert_eq!(major_version(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn no_program_here_inherits_the_address_of_the_original_server() {
        let variables = [("PGHOST", "db1"), ("PGPASSWORD", "x"), ("PATH", "/bin")];
        let variables = variables.map(|(name, value)| (name.into(), value.into()));
        let mut command = Command::new("postgres");
        Environment::new(variables.into()).put_into(&mut command);
        let removed = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name);
        assert_eq!(removed.collect::<Vec<_>>(), ["PGHOST", "PGPASSWORD"]);
    }
}
