//! What every command is given.

use std::sync::Arc;

use swiftwal_core::{Options, Registry, Repository, SystemClock};

use crate::{config::Config, exit::Caller, failure::Failure, output::Output};

/// One run of the program: how it was called and configured.
pub(crate) struct Session<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) config: Config,
    pub(crate) output: Output,
    pub(crate) caller: Caller,
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
        let options =
            Options { create, settings: self.config.settings.clone(), state: self.config.state.clone() };
        let location = &self.config.repository;
        let storage = self.registry.open(location.url(), &options).map_err(swiftwal_core::Error::from)?;
        Ok(Repository::new(storage, location.to_string(), Arc::new(SystemClock)))
    }
}
