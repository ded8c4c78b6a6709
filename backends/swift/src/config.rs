use std::collections::HashMap;

use thiserror::Error;

/// All that is needed to reach one account.
#[derive(Clone, Debug)]
pub struct Config {}

/// Settings that can't work.
#[derive(Debug, Error)]
#[error("settings")]
pub struct ConfigError;

impl Config {
    /// Resolves settings named as in the environment of the OpenStack tools (`OS_AUTH_URL`, `ST_USER`, …).
    ///
    /// # Errors
    ///
    /// What is missing, all of it at once.
    pub fn from_settings(_settings: &HashMap<String, String>) -> Result<Self, ConfigError> {
        todo!()
    }
}
