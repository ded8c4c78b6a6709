//! What every command is given.

use std::sync::Arc;

use swiftwal_core::{Options, Registry, Repository, SystemClock};

use crate::{config::Config, failure::Failure, output::Output, watchdog::Watchdog};

/// One run of the program: how it was called and configured.
pub(crate) struct Session<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) config: Config,
    pub(crate) output: Output,
    pub(crate) watchdog: &'a Watchdog,
}

impl Session<'_> {
    /// The repository, for a command that only reads or deletes.
    pub(crate) fn open(&self) -> Result<Repository, Failure> {
        self.open_with(false)
    }

    /// The repository, for a command that stores: its directory or container may be made.
    pub(crate) fn open_to_store(&self) -> Result<Repository, Failure> {
        self.open_with(true)
    }

    /// The header of a column with names of objects, as the original called them where they are Swift's.
    pub(crate) fn object_header(&self) -> &'static str {
        match self.config.repository.url().scheme() {
            "swift" => "Swift Object Name",
            _ => "Object Name",
        }
    }

    fn open_with(&self, create: bool) -> Result<Repository, Failure> {
        let location = &self.config.repository;
        self.watchdog.doing(format!("opening {location}"));
        let options = Options {
            create,
            settings: self.config.settings.clone(),
            state: self.config.state.clone(),
            time_left: self.watchdog.time_left(),
        };
        let storage = self.registry.open(location.url(), &options).map_err(swiftwal_core::Error::from)?;
        self.watchdog.doing(format!("{} {location}", if create { "writing to" } else { "reading" }));
        Ok(Repository::new(storage, location.to_string(), Arc::new(SystemClock)))
    }
}
