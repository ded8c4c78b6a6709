//! Settings by name: those that were given, which override those of a cloud.

use std::collections::HashMap;

use url::Url;

use super::{ConfigError, Missing};
use crate::secret::Secret;

pub(super) const NAMES: &[&str] = &[
    "OS_APPLICATION_CREDENTIAL_ID",
    "OS_APPLICATION_CREDENTIAL_NAME",
    "OS_APPLICATION_CREDENTIAL_SECRET",
    "OS_AUTH_TOKEN",
    "OS_AUTH_TYPE",
    "OS_AUTH_URL",
    "OS_AUTH_VERSION",
    "OS_CACERT",
    "OS_CLIENT_CONFIG_FILE",
    "OS_CLIENT_SECURE_FILE",
    "OS_CLOUD",
    "OS_DEFAULT_DOMAIN",
    "OS_ENDPOINT_TYPE",
    "OS_IDENTITY_API_VERSION",
    "OS_INTERFACE",
    "OS_PASSWORD",
    "OS_PROJECT_DOMAIN_ID",
    "OS_PROJECT_DOMAIN_NAME",
    "OS_PROJECT_ID",
    "OS_PROJECT_NAME",
    "OS_REGION_NAME",
    "OS_STORAGE_URL",
    "OS_TENANT_ID",
    "OS_TENANT_NAME",
    "OS_TOKEN",
    "OS_TRUST_ID",
    "OS_USERNAME",
    "OS_USER_DOMAIN_ID",
    "OS_USER_DOMAIN_NAME",
    "OS_USER_ID",
    "ST_AUTH",
    "ST_AUTH_VERSION",
    "ST_KEY",
    "ST_USER",
];

/// Looks up settings, and records which required ones are missing.
pub(super) struct Settings<'a> {
    given: &'a HashMap<String, String>,
    cloud: &'a HashMap<String, String>,
    method: &'static str,
    missing: Vec<Missing>,
}

impl<'a> Settings<'a> {
    pub(super) fn new(given: &'a HashMap<String, String>, cloud: &'a HashMap<String, String>) -> Self {
        Self { given, cloud, method: "OpenStack", missing: Vec::new() }
    }

    /// Returns the first of these names that has a value.
    pub(super) fn get(&self, names: &[&str]) -> Option<&'a str> {
        debug_assert!(names.iter().all(|name| NAMES.contains(name)), "{names:?}");
        let sources = [self.given, self.cloud];
        let mut values = sources.iter().flat_map(|source| names.iter().filter_map(|name| source.get(*name)));
        values.find(|value| !value.is_empty()).map(String::as_str)
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.get(names).is_some()
    }

    /// As [`get`](Self::get), for a required setting. If it is missing, the value is empty and
    /// [`complete`](Self::complete) fails.
    pub(super) fn need(&mut self, names: &[&'static str]) -> String {
        let value = self.get(names);
        if value.is_none() {
            self.missing.push(Missing { names: names.to_vec() });
        }
        value.unwrap_or_default().to_owned()
    }

    pub(super) fn need_secret(&mut self, names: &[&'static str]) -> Secret {
        Secret::new(self.need(names))
    }

    pub(super) fn url(&self, names: &[&'static str]) -> Result<Option<Url>, ConfigError> {
        self.get(names).map(|value| parse(names[0], value)).transpose()
    }

    /// Returns the URL under the first of these names. If it is missing, it returns an arbitrary one, and
    /// [`complete`](Self::complete) fails.
    pub(super) fn need_url(&mut self, names: &[&'static str]) -> Result<Url, ConfigError> {
        match self.need(names).as_str() {
            "" => parse(names[0], "http://missing"),
            value => parse(names[0], value),
        }
    }

    /// Sets the authentication method, which an error names.
    pub(super) fn for_method(&mut self, method: &'static str) {
        self.method = method;
    }

    /// Fails if a required setting was missing.
    pub(super) fn complete(self) -> Result<(), ConfigError> {
        let Self { method, missing, .. } = self;
        if missing.is_empty() { Ok(()) } else { Err(ConfigError::Missing { method, missing }) }
    }
}

/// Parses a URL: http or https, with a host, and without a user, which would appear in logs.
fn parse(name: &str, value: &str) -> Result<Url, ConfigError> {
    let url =
        Url::parse(value).map_err(|error| ConfigError::invalid(name, format!("is not a URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(ConfigError::invalid(name, "is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ConfigError::invalid(
            name,
            "contains a user; set user and password in their own settings",
        ));
    }
    Ok(url)
}
