//! What every command is given.

use std::{sync::Arc, time::Duration};

use swiftwal_core::{Options, Registry, Repository, SystemClock};

use crate::{config::Config, failure::Failure, output::Output, watchdog::Watchdog};

/// One run of the program: how it was called and configured.
pub(crate) struct Session<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) config: Config,
    pub(crate) output: Output,
    /// What `--deadline` says.
    pub(crate) deadline: Option<Duration>,
    pub(crate) watchdog: &'a Watchdog,
}

impl Session<'_> {
    /// The repository, for a command that only reads or deletes.
    pub(crate) fn open(&self) -> Result<Repository, Failure> {
        self.open_with(false, false)
    }

    /// The repository, for a command that stores. Its directory or container is created where there was none before;
    /// where there was one, only if `anew` says so.
    pub(crate) fn open_to_store(&self, anew: bool) -> Result<Repository, Failure> {
        let repository = self.open_with(true, anew)?;
        if repository.storage().is_volatile() && !self.config.allow_volatile {
            return Err(Failure::Volatile(repository.location().to_owned()));
        }
        if self.config.state.is_none() {
            tracing::warn!(
                "this user has no home directory, so a repository that vanishes can't be told from a new one; set \
                 XDG_STATE_HOME to a directory of this user's"
            );
        }
        Ok(repository)
    }

    /// The header of a column with names of objects, as the original called them where they are Swift's.
    pub(crate) fn object_header(&self) -> &'static str {
        match self.config.repository.url().scheme() {
            "swift" => "Swift Object Name",
            _ => "Object Name",
        }
    }

    fn open_with(&self, create: bool, anew: bool) -> Result<Repository, Failure> {
        let location = &self.config.repository;
        self.watchdog.doing(format!("opening {location}"));
        let options = Options {
            create,
            anew,
            settings: self.config.settings.clone(),
            state: self.config.state.clone(),
            time_left: self.watchdog.time_left(),
        };
        let storage = self.registry.open(location.url(), &options).map_err(swiftwal_core::Error::from)?;
        self.watchdog.doing(format!("{} {location}", if create { "writing to" } else { "reading" }));
        let repository = Repository::new(storage, location.to_string(), Arc::new(SystemClock));
        Ok(repository.starting_anew(anew))
    }
}
