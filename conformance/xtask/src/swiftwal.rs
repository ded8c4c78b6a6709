//! The program under test, with one repository.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Container, Postgres, Scratch, run, until};

/// The program under test, run by the PostgreSQL user from the scratch directory, with one repository.
///
/// That directory is also the user's home, so the program's state directory is in it.
#[derive(Debug)]
pub struct Swiftwal {
    scratch: Arc<Scratch>,
    program: PathBuf,
    place: Place,
}

/// The location of the repository. It displays as the program's option.
#[derive(Debug)]
pub enum Place {
    /// An existing directory.
    Directory(PathBuf),
    /// A container, which the program creates.
    Container(Container),
}

impl Swiftwal {
    /// Copies the program `built` into the scratch directory, and creates an empty directory for the repository beside
    /// it.
    pub fn new(scratch: &Arc<Scratch>, built: &Path) -> Result<Self> {
        let program = scratch.program(built)?;
        let place = Place::Directory(scratch.directory("repository")?);
        Ok(Self { scratch: Arc::clone(scratch), program, place })
    }

    /// As [`Self::new`], with a container of the Swift that `settings` select, such as an [`crate::Environment`] or
    /// [`crate::swift_test_settings`]. Its name is that of the scratch directory, which can have only one. The program
    /// finds credentials only in a configuration file.
    pub fn on_swift<Name: Into<String>>(
        scratch: &Arc<Scratch>,
        built: &Path,
        settings: impl IntoIterator<Item = (Name, String)>,
    ) -> Result<Self> {
        let program = scratch.program(built)?;
        let settings = settings.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let place = Place::Container(Container::new(scratch, settings)?);
        Ok(Self { scratch: Arc::clone(scratch), program, place })
    }

    /// Returns the location of the repository.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the names of all objects in the repository, including hidden ones, sorted; none if there is no
    /// repository.
    pub fn stored(&self) -> Result<Vec<String>> {
        match &self.place {
            Place::Directory(directory) => {
                let mut names: Vec<String> = fs::read_dir(directory)?
                    .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                    .collect::<Result<_>>()?;
                names.sort();
                Ok(names)
            }
            Place::Container(container) => Ok(container.objects()?.unwrap_or_default()),
        }
    }

    /// Returns the command `swiftwal --repository URL ARGUMENTS`, or with `--config FILE`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(&self.program);
        command.args(self.place.flag()).args(arguments);
        // An archiver on a busy machine may be slow.
        command.env("SWIFTWAL_ARCHIVE_TIMEOUT", "600");
        command
    }

    /// Runs the command, and returns its standard output. An error contains all its output.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.command(arguments))
    }

    /// Returns when the server's clock is past the end of every backup. Commit records give the end up to some seconds
    /// late, and no earlier moment can be recovered to.
    pub fn wait_for_end_of_backups(&self, server: &Postgres) -> Result<()> {
        let listed: Value = serde_json::from_str(&self.run(&["--json", "list-backups"])?)?;
        let ends = listed
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|backup| backup["record"]["finished"].as_str());
        let end = ends.max().context("no backup says when it finished")?.to_owned();
        let is_past = format!("select clock_timestamp() > '{end}'");
        until("the backups have ended", || Ok(server.sql(&is_past)? == "t"))
    }

    /// Returns the value of `archive_command` that stores each segment here.
    #[must_use]
    pub fn archive_command(&self) -> String {
        format!("{} {} archive-wal \"%p\"", self.program.display(), self.place.flag().join(" "))
    }

    /// Returns the environment variable with the same effect as the option in [`Self::command`].
    #[must_use]
    pub fn variable(&self) -> (&'static str, String) {
        let [flag, value] = self.place.flag();
        (if flag == "--config" { "SWIFTWAL_CONFIG" } else { "SWIFTWAL_REPOSITORY" }, value)
    }
}

impl Place {
    /// Returns its URL, as the program writes it into restore_command.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Directory(directory) => format!("file://{}", directory.display()),
            Self::Container(container) => format!("swift://{}", container.name()),
        }
    }

    /// Returns the container, if it is one.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match self {
            Self::Directory(_) => None,
            Self::Container(container) => Some(container),
        }
    }

    fn flag(&self) -> [String; 2] {
        match self {
            Self::Directory(_) => ["--repository".to_owned(), self.url()],
            Self::Container(container) => {
                ["--config".to_owned(), container.configuration().display().to_string()]
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(_) => f.write_str(&self.url()),
            Self::Container(container) => write!(f, "container {}", container.name()),
        }
    }
}
