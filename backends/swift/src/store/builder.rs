//! Opens a store.

use std::{collections::HashMap, fmt, sync::Arc};

use thiserror::Error;

use super::{Store, Swift};
use crate::{
    client::Client,
    config::{Config, ConfigError},
    containers::Containers,
    secret::Secret,
};

/// Configures a store before it is opened.
#[derive(Clone)]
pub struct SwiftBuilder {
    container: String,
    segments: Option<String>,
    policy: Option<String>,
    create: bool,
    settings: HashMap<String, String>,
    config: Option<Config>,
    temp_url_key: Option<Secret>,
}

/// The reason why a store can't be opened. No request was sent.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The name isn't valid for a container.
    #[error("'{}' can't be the name of a container: it must have 1 to 256 bytes and no slash", .name.escape_debug())]
    ContainerName {
        /// The name.
        name: String,
    },
    /// The container of the segments is the container of the objects, whose listings would show the segments.
    #[error("the segments of large objects can't be stored in {name} itself")]
    SameContainer {
        /// The name.
        name: String,
    },
    /// The settings of the account are incomplete or invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl BuildError {
    /// What to do about the error, if that is known.
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
    /// Creates a builder for this container, without any settings.
    pub fn new(container: impl Into<String>) -> Self {
        Self {
            container: container.into(),
            segments: None,
            policy: None,
            create: false,
            settings: HashMap::new(),
            config: None,
            temp_url_key: None,
        }
    }

    /// Adds settings, which are named as in the environment of the OpenStack tools, such as `OS_AUTH_URL`, `OS_CLOUD`,
    /// `ST_AUTH`. [`Config`] lists them. A later setting replaces an earlier one of the same name.
    #[must_use]
    pub fn with_settings<K: Into<String>, V: Into<String>>(
        mut self,
        settings: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.settings.extend(settings.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets the account, in place of settings. A [`Config`] also contains what settings can't express, such as time
    /// limits.
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = Some(config);
        self
    }

    /// Sets the container of the segments; the default is `<container>_segments`. If it is missing, the first large
    /// object creates it.
    #[must_use]
    pub fn with_segments_container(mut self, name: impl Into<String>) -> Self {
        self.segments = Some(name.into());
        self
    }

    /// Sets the storage policy of the containers that this store creates. By default the container of the objects gets
    /// the cluster's default, and the container of the segments the policy of the container of the objects.
    #[must_use]
    pub fn with_policy(mut self, policy: impl Into<String>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Sets whether the first request creates a missing container, even if it only reads; otherwise that is an error.
    #[must_use]
    pub fn with_create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Sets the key with which URLs are signed, as [`Swift::signed_url`] does: the value of the account's
    /// `X-Account-Meta-Temp-URL-Key`, or of the container's `X-Container-Meta-Temp-URL-Key`. The key isn't sent, and it
    /// must have been set in Swift before. With the container's key, no large object can be read, since its segments
    /// are in another container. radosgw 16 accepts only the account's.
    #[must_use]
    pub fn with_temp_url_key(mut self, key: impl Into<String>) -> Self {
        self.temp_url_key = Some(Secret::new(key));
        self
    }

    /// Opens the store. No request is sent yet.
    ///
    /// # Errors
    ///
    /// Invalid names, and settings that are missing or contradict each other.
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
        Ok(Swift(Arc::new(Store::new(containers, self.temp_url_key))))
    }
}

/// Shows the names of the settings, but not their values, which may be secret.
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
