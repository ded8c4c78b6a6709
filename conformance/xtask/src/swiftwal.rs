use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::Result;

use crate::{Scratch, run};

/// The program under test, run by the PostgreSQL user from the scratch directory, with one file repository.
#[derive(Debug)]
pub struct Swiftwal {
    scratch: Arc<Scratch>,
    program: PathBuf,
    directory: PathBuf,
}

impl Swiftwal {
    /// Copies the program `built` into the scratch directory, and makes an empty repository beside it.
    pub fn new(scratch: &Arc<Scratch>, built: &Path) -> Result<Self> {
        let program = scratch.program(built)?;
        let directory = scratch.directory("repository")?;
        Ok(Self { scratch: Arc::clone(scratch), program, directory })
    }

    /// The directory that is the repository.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The names of all files in the repository, hidden ones too, sorted.
    pub fn stored(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = fs::read_dir(&self.directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        names.sort();
        Ok(names)
    }

    /// `swiftwal --repository URL ARGUMENTS`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(&self.program);
        command.arg("--repository").arg(self.url()).args(arguments);
        command
    }

    /// Runs the command; its standard output, or an error that shows all it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.command(arguments))
    }

    /// The value of `archive_command` that stores each segment here.
    #[must_use]
    pub fn archive_command(&self) -> String {
        format!("{} --repository {} archive-wal %p", self.program.display(), self.url())
    }

    fn url(&self) -> String {
        format!("file://{}", self.directory.display())
    }
}
