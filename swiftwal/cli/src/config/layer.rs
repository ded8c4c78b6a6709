//! The configuration of one source.

use std::collections::BTreeMap;

use figment::{
    Metadata, Profile, Provider,
    value::{Dict, Map},
};

use super::{ConfigError, Location};

/// The values of one source as text by key, which figment merges, and the backend's settings by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    source: String,
    values: Dict,
    /// The backends' own settings.
    pub(super) settings: BTreeMap<String, String>,
}

impl Layer {
    /// Creates an empty layer; messages call its source `source`.
    pub(super) fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), ..Self::default() }
    }

    pub(super) fn set(&mut self, key: &str, value: Option<String>) {
        if let Some(value) = value {
            self.values.insert(key.to_owned(), value.into());
        }
    }

    pub(super) fn set_setting(&mut self, name: &str, value: String) {
        self.settings.insert(name.to_owned(), value);
    }

    /// Sets the location of the repository. Repository and container are one key, so that a container given as a flag
    /// overrides a repository from the environment.
    pub(super) fn set_place(
        &mut self,
        repository: Option<String>,
        container: Option<String>,
    ) -> Result<(), ConfigError> {
        if repository.is_some() && container.is_some() {
            return Err(ConfigError::TwoPlaces { from: self.source.clone() });
        }
        let container = container.map(|name| Location::of_container(&name)).transpose()?;
        self.set("repository", repository.or(container));
        Ok(())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}
