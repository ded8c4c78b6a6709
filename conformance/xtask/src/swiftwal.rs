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
/// That directory is the user's home as well: what the program keeps for the next process lies there.
#[derive(Debug)]
pub struct Swiftwal {
    scratch: Arc<Scratch>,
    program: PathBuf,
    place: Place,
}

/// Where the repository is. It displays as the program calls it.
#[derive(Debug)]
pub enum Place {
    /// A directory, which is there.
    Directory(PathBuf),
    /// A container, which the program makes.
    Container(Container),
}

impl Swiftwal {
    /// Copies the program `built` into the scratch directory, and makes an empty repository beside it.
    pub fn new(scratch: &Arc<Scratch>, built: &Path) -> Result<Self> {
        let program = scratch.program(built)?;
        let place = Place::Directory(scratch.directory("repository")?);
        Ok(Self { scratch: Arc::clone(scratch), program, place })
    }

    /// The same with a container of the Swift that `settings` lead to, as [`crate::Environment`] or
    /// [`crate::swift_test_settings`]. Its name is the scratch directory's, which can have one. The program finds
    /// credentials in a configuration file only.
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

    /// Where the repository is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The names of all objects in the repository, hidden ones too, sorted; empty where there is no repository.
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

    /// `swiftwal --repository URL ARGUMENTS`, or with `--config FILE`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scratch.command(&self.program);
        command.args(self.place.flag()).args(arguments);
        // An archiver on a loaded machine may be slow.
        command.env("SWIFTWAL_ARCHIVE_TIMEOUT", "600");
        command
    }

    /// Runs the command; its standard output, or an error that shows all it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        run::stdout(&mut self.command(arguments))
    }

    /// Returns once the server's clock is past the end of every backup. Their records say it up to some seconds late,
    /// and no earlier moment can be recovered to.
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

    /// The value of `archive_command` that stores each segment here.
    #[must_use]
    pub fn archive_command(&self) -> String {
        format!("{} {} archive-wal \"%p\"", self.program.display(), self.place.flag().join(" "))
    }

    /// The variable that does in the program's environment what the flag does in [`Self::command`].
    #[must_use]
    pub fn variable(&self) -> (&'static str, String) {
        let [flag, value] = self.place.flag();
        (if flag == "--config" { "SWIFTWAL_CONFIG" } else { "SWIFTWAL_REPOSITORY" }, value)
    }
}

impl Place {
    /// Its URL, as the program writes it into restore_command.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Directory(directory) => format!("file://{}", directory.display()),
            Self::Container(container) => format!("swift://{}", container.name()),
        }
    }

    /// The container, where it is one.
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
