//! Opens a store.

use std::{collections::HashMap, fmt, sync::Arc};

use thiserror::Error;

use super::{Store, Swift};
use crate::{
    client::Client,
    config::{Config, ConfigError},
    containers::Containers,
};

/// Says which container to open, and how.
#[derive(Clone)]
pub struct SwiftBuilder {
    container: String,
    segments: Option<String>,
    policy: Option<String>,
    create: bool,
    settings: HashMap<String, String>,
    config: Option<Config>,
}

/// Why a store can't be opened. Nothing has been sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A name that no container can have.
    #[error("{name:?} can't be the name of a container: it must have 1 to 256 bytes and no slash")]
    ContainerName {
        /// The name.
        name: String,
    },
    /// The segments would be listed among the objects.
    #[error("the segments of large objects can't lie in {name} itself")]
    SameContainer {
        /// The name.
        name: String,
    },
    /// The account can't be reached with these settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl BuildError {
    /// What to do about it, where that can be told.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::ContainerName { .. } => None,
            Self::SameContainer { .. } => Some("name another container for them"),
            Self::Config(error) => error.hint(),
        }
    }
}

impl SwiftBuilder {
    /// Begins with a container's name, and no settings.
    pub fn new(container: impl Into<String>) -> Self {
        Self {
            container: container.into(),
            segments: None,
            policy: None,
            create: false,
            settings: HashMap::new(),
            config: None,
        }
    }

    /// Adds settings by the names they have in the environment of the OpenStack tools, such as `OS_AUTH_URL`,
    /// `OS_CLOUD`, `ST_AUTH`. [`Config`] says which there are. A later one replaces an earlier one.
    #[must_use]
    pub fn with_settings<K: Into<String>, V: Into<String>>(
        mut self,
        settings: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.settings.extend(settings.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Takes this account instead of settings. A [`Config`] also says what settings can't, such as timeouts.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Names the container of the segments; otherwise it is `<container>_segments`. It is made when it is
    /// missing and a large object is to be stored.
    #[must_use]
    pub fn with_segments_container(mut self, name: impl Into<String>) -> Self {
        self.segments = Some(name.into());
        self
    }

    /// Names the storage policy of the containers that this store makes. Otherwise it is the cluster's default,
    /// and for the segments that of the container.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<String>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Whether the first use of a container that is missing makes it, be it to read; otherwise that is an error.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Opens the store. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// Names that can't be, and settings that are missing or contradict each other.
    pub fn build(self) -> Result<Swift, BuildError> {
        let segments = self.segments.unwrap_or_else(|| format!("{}_segments", self.container));
        for name in [&self.container, &segments] {
            if name.is_empty() || name.len() > 256 || name.contains('/') || name == "." || name == ".." {
                return Err(BuildError::ContainerName { name: name.clone() });
            }
        }
        if segments == self.container {
            return Err(BuildError::SameContainer { name: segments });
        }
        let config = match self.config {
            Some(config) => config,
            None => Config::from_settings(&self.settings)?,
        };
        let client = Client::new(config)?;
        let containers = Containers::new(client, self.container, segments, self.policy, self.create);
        Ok(Swift(Arc::new(Store::new(containers))))
    }
}

/// Names the settings without their values, which may be secret.
impl fmt::Debug for SwiftBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwiftBuilder")
            .field("container", &self.container)
            .field("settings", &self.settings.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown_by_debug() {
        let builder = SwiftBuilder::new("container").with_settings([("OS_PASSWORD", "hunter2")]);
        let shown = format!("{builder:?}");
        assert!(shown.contains("OS_PASSWORD") && !shown.contains("hunter2"), "{shown}");
    }
}
