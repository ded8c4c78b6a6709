use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;

use crate::{Installation, Postgres, Scratch, Swiftwal, run};

/// One PostgreSQL cluster that archives through the program under test into one file repository.
#[derive(Debug)]
pub struct Site {
    /// The directory of it all.
    pub scratch: Arc<Scratch>,
    /// The program and its repository.
    pub swiftwal: Swiftwal,
    /// The cluster.
    pub postgres: Postgres,
}

impl Site {
    /// Sets it all up for the program `built`, and starts the server.
    pub fn start(built: &Path) -> Result<Self> {
        let scratch = Scratch::new(Installation::ensure()?)?;
        let swiftwal = Swiftwal::new(&scratch, built)?;
        let archive = format!("archive_command = '{}'", swiftwal.archive_command());
        let postgres = Postgres::create(&scratch, "data", &[&archive])?;
        postgres.start()?;
        Ok(Self { scratch, swiftwal, postgres })
    }

    /// `swiftwal --repository URL ARGUMENTS`, with the cluster's connection settings in the environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.swiftwal.command(arguments);
        command.envs(self.postgres.environment());
        command
    }

    /// Runs the command; its standard output, or an error that shows all it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.command(arguments))
    }

    /// Restores into the new directory `name` of the scratch directory; the cluster there, not started.
    pub fn restore(&self, name: &str, key: &str, options: &[&str]) -> Result<Postgres> {
        let restored = Postgres::open(&self.scratch, &self.scratch.path().join(name));
        let directory = restored.data().to_string_lossy();
        self.swiftwal.run(&[&["restore", key, &directory], options].concat())?;
        Ok(restored)
    }
}
