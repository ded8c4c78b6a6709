//! pgBackRest, with a repository of its own in a scratch directory, to compare with.

use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::{Postgres, Scratch, apt, run};

const PROGRAM: &str = "pgbackrest";
/// The name of the configuration file, in the scratch directory.
const CONFIGURATION: &str = "pgbackrest.conf";

/// pgBackRest, configured for one server.
#[derive(Debug)]
pub struct PgBackRest {
    scratch: Arc<Scratch>,
    version: String,
}

impl PgBackRest {
    /// Finds pgBackRest, and writes a configuration for backups of `server` into the directory `pgbackrest`, which
    /// doesn't exist yet, with zstd at level 1 and two processes. If pgBackRest is missing, it is installed with
    /// `apt-get` if this is root; otherwise the error names the package.
    pub fn ensure(scratch: &Arc<Scratch>, server: &Postgres) -> Result<Self> {
        apt::ensure("pgBackRest", &[(PROGRAM, PROGRAM)])?;
        let version = run::stdout(Command::new(PROGRAM).arg("version"))?.trim().to_owned();
        scratch.secret_file(CONFIGURATION, &configuration(scratch, server)?)?;
        Ok(Self { scratch: Arc::clone(scratch), version })
    }

    /// Returns the name with the version: `pgBackRest 2.45`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns its command line for a shell, without a command: it works from any directory.
    #[must_use]
    pub fn command_line(&self) -> String {
        format!("{PROGRAM} --config={} --stanza=bench", self.scratch.path().join(CONFIGURATION).display())
    }
}

fn configuration(scratch: &Scratch, server: &Postgres) -> Result<String> {
    let environment = server.environment();
    let port = environment.iter().find(|(name, _)| *name == "PGPORT").map(|(_, port)| port);
    let port = port.context("the server has no port")?;
    let (scratch, data) = (scratch.path().display(), server.data().display());
    Ok(format!(
        "[global]
repo1-path={scratch}/pgbackrest
repo1-retention-full=1
lock-path={scratch}/pgbackrest-lock
spool-path={scratch}/pgbackrest-spool
log-level-console=warn
log-level-file=off
compress-type=zst
compress-level=1
process-max=2
start-fast=y

[bench]
pg1-path={data}
pg1-socket-path={scratch}
pg1-port={port}
pg1-user=postgres
"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Installation;

    #[test]
    #[ignore = "needs PostgreSQL: run by cargo xtask test"]
    fn its_configuration_names_the_server_and_no_directory_outside_the_scratch_directory() {
        let scratch = Scratch::new(Installation::ensure().unwrap()).unwrap();
        let server = Postgres::open(&scratch, &scratch.path().join("data"));
        let text = configuration(&scratch, &server).unwrap();
        let inside = scratch.path().display().to_string();
        let paths: Vec<_> = text.lines().filter(|line| line.contains("path=")).collect();
        assert!(paths.len() == 5 && paths.iter().all(|line| line.contains(&inside)), "{text}");
    }
}
