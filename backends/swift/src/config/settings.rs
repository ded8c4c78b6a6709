//! Settings by name, and how those of one source override those of another.

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

/// Names of one thing. A source that has one of them hides all of them in the sources below it: otherwise a project's id
/// that is left in the environment would select another project than the name that an option gives.
const ONE_THING: [&[&str]; 8] = [
    PROJECT,
    USER,
    &["OS_AUTH_URL", "ST_AUTH"],
    &["OS_PASSWORD", "ST_KEY"],
    &["OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME"],
    &["OS_AUTH_TOKEN", "OS_TOKEN"],
    &["OS_AUTH_VERSION", "OS_IDENTITY_API_VERSION", "ST_AUTH_VERSION"],
    &["OS_ENDPOINT_TYPE", "OS_INTERFACE"],
];

/// A trust takes the place of a project.
const PROJECT: &[&str] =
    &["OS_PROJECT_ID", "OS_PROJECT_NAME", "OS_TENANT_ID", "OS_TENANT_NAME", "OS_TRUST_ID"];
const USER: &[&str] = &["OS_USERNAME", "OS_USER_ID", "ST_USER"];

/// The names of projects and users, and of the domains that they are in.
const IN_DOMAIN: [(&[&str], &[&str]); 2] = [
    (PROJECT, &["OS_PROJECT_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME"]),
    (USER, &["OS_USER_DOMAIN_ID", "OS_USER_DOMAIN_NAME"]),
];
const DEFAULT_DOMAIN: &str = "OS_DEFAULT_DOMAIN";

/// Merges the settings of two sources, of which the `upper` one overrides the `lower` one. An empty setting overrides
/// only the one of the same name, and then counts as absent.
///
/// The domain of a project or user comes from the source of its name or id, or else from one below that. A source that
/// gives only the domain completes the name of a source below it that gives none.
pub(super) fn over(
    mut upper: HashMap<String, String>,
    mut lower: HashMap<String, String>,
) -> HashMap<String, String> {
    let has = |settings: &HashMap<String, String>, names: &[&str]| {
        names.iter().any(|name| settings.get(*name).is_some_and(|value| !value.is_empty()))
    };
    let remove = |settings: &mut HashMap<String, String>, names: &[&str]| {
        settings.retain(|name, _| !names.contains(&name.as_str()));
    };
    for (names, domains) in IN_DOMAIN {
        if has(&lower, names) && !has(&upper, names) && has(&lower, domains) {
            remove(&mut upper, domains);
        } else if has(&upper, domains) || has(&upper, names) && has(&upper, &[DEFAULT_DOMAIN]) {
            remove(&mut lower, domains);
        }
    }
    for names in ONE_THING.iter().filter(|names| has(&upper, names)) {
        remove(&mut lower, names);
    }
    lower.extend(upper);
    lower
}

/// Looks up settings, and records which required ones are missing.
pub(super) struct Settings {
    settings: HashMap<String, String>,
    method: &'static str,
    missing: Vec<Missing>,
}

impl Settings {
    pub(super) fn new(settings: HashMap<String, String>) -> Self {
        Self { settings, method: "OpenStack", missing: Vec::new() }
    }

    /// Returns the first of these names that has a value.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        debug_assert!(names.iter().all(|name| NAMES.contains(name)), "{names:?}");
        let mut values = names.iter().filter_map(|name| self.settings.get(*name));
        values.find(|value| !value.is_empty()).map(String::as_str)
    }

    pub(super) fn has(&self, names: &[&str]) -> bool {
        self.get(names).is_some()
    }

    /// As [`get`](Self::get), for a required setting. If it is missing, the value is empty and
    /// [`complete`](Self::complete) fails.
    pub(super) fn need(&mut self, names: &[&'static str]) -> String {
        let value = self.get(names).map(str::to_owned);
        if value.is_none() {
            self.missing.push(Missing { names: names.to_vec() });
        }
        value.unwrap_or_default()
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
