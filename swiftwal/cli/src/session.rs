//! The context of every command.

use std::{sync::Arc, time::Duration};

use swiftwal_core::{Options, Registry, Repository, SystemClock};

use crate::{config::Config, failure::Failure, output::Output, watchdog::Watchdog};

/// One run of the program, with its options and configuration.
pub(crate) struct Session<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) config: Config,
    pub(crate) output: Output,
    /// The value of `--deadline`.
    pub(crate) deadline: Option<Duration>,
    pub(crate) watchdog: &'a Watchdog,
}

impl Session<'_> {
    /// Opens the repository for a command that only reads or deletes.
    pub(crate) fn open(&self) -> Result<Repository, Failure> {
        self.open_with(false, false)
    }

    /// Opens the repository for a command that stores. Its directory or container is created if this machine has never
    /// seen one there, otherwise only if `anew` is set.
    pub(crate) fn open_to_store(&self, anew: bool) -> Result<Repository, Failure> {
        let repository = self.open_with(true, anew)?;
        if repository.storage().is_volatile() && !self.config.allow_volatile {
            return Err(Failure::Volatile(repository.location().to_owned()));
        }
        if self.config.state.is_none() {
            tracing::warn!(
                "this user has no home directory, so a vanished repository can't be distinguished from a new one; set \
                 XDG_STATE_HOME to a directory of this user's"
            );
        }
        Ok(repository)
    }

    /// Returns the header of the column with names of objects: for Swift the one that SwiftWAL 0.2.2 printed.
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
