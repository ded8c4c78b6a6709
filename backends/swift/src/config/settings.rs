//! Settings by name, and how those of one source override those of another.

use std::collections::HashMap;

use url::Url;

use super::{ConfigError, Missing};
use crate::secret::Secret;

/// Settings by name.
pub(super) type Given = HashMap<String, String>;

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
    "OS_OBJECT_STORE_ENDPOINT_OVERRIDE",
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
const ONE_THING: [&[&str]; 9] = [
    PROJECT,
    USER,
    &["OS_AUTH_URL", "ST_AUTH"],
    &["OS_PASSWORD", "ST_KEY"],
    APPLICATION_CREDENTIAL,
    &["OS_AUTH_TOKEN", "OS_TOKEN"],
    &["OS_AUTH_VERSION", "OS_IDENTITY_API_VERSION", "ST_AUTH_VERSION"],
    &["OS_ENDPOINT_TYPE", "OS_INTERFACE"],
    STORAGE_URL,
];

/// A trust takes the place of a project.
pub(super) const PROJECT: &[&str] =
    &["OS_PROJECT_ID", "OS_PROJECT_NAME", "OS_TENANT_ID", "OS_TENANT_NAME", "OS_TRUST_ID"];
pub(super) const APPLICATION_CREDENTIAL: &[&str] =
    &["OS_APPLICATION_CREDENTIAL_ID", "OS_APPLICATION_CREDENTIAL_NAME"];
/// The second is the name of openstacksdk, which clouds.yaml has in lower case and without `OS_`.
pub(super) const STORAGE_URL: &[&str] = &["OS_STORAGE_URL", "OS_OBJECT_STORE_ENDPOINT_OVERRIDE"];
const USER: &[&str] = &["OS_USERNAME", "OS_USER_ID", "ST_USER"];

/// The names of projects and users, and of the domains that they are in.
const IN_DOMAIN: [(&[&str], &[&str]); 2] = [
    (PROJECT, &["OS_PROJECT_DOMAIN_ID", "OS_PROJECT_DOMAIN_NAME"]),
    (USER, &["OS_USER_DOMAIN_ID", "OS_USER_DOMAIN_NAME"]),
];
const DEFAULT_DOMAIN: &str = "OS_DEFAULT_DOMAIN";

const CLOUD: &str = "OS_CLOUD";
/// The settings by which a cloud may be completed from below the source that names it: its secrets, if it has none.
const SECRETS: &[&str] =
    &["OS_APPLICATION_CREDENTIAL_SECRET", "OS_AUTH_TOKEN", "OS_PASSWORD", "OS_TOKEN", "ST_KEY"];
/// The settings that say which files are read.
const FILES: &[&str] = &["OS_CACERT", "OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"];

/// Merges the settings of two sources, of which the `upper` one overrides the `lower` one. An empty setting overrides
/// only the one of the same name, and then counts as absent.
///
/// The domain of a project or user comes from the source of its name or id, or else from one below that. A source that
/// gives only the domain completes the name of a source below it that gives none. An application credential, which is
/// bound to its project, hides the projects below it.
pub(super) fn over(mut upper: Given, mut lower: Given) -> Given {
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
    if has(&upper, APPLICATION_CREDENTIAL) {
        remove(&mut lower, PROJECT);
    }
    lower.extend(upper);
    lower
}

/// As [`over`], for sources that may name a cloud of clouds.yaml, which says which account to use. So a cloud in the
/// upper source hides what the lower one says about that: otherwise a project that is left in the environment would be
/// used instead of the one of the cloud that an option names. Only a secret that the cloud lacks may come from below. A
/// lower source that names the same cloud keeps its settings.
///
/// `load` returns the settings of the cloud that the given settings name.
pub(super) fn over_with_cloud(
    upper: Given,
    mut lower: Given,
    load: impl FnOnce(&Given) -> Result<Given, ConfigError>,
) -> Given {
    if has(&upper, &[CLOUD]) && upper.get(CLOUD) != lower.get(CLOUD) {
        let is_secret = |name: &String| SECRETS.contains(&name.as_str());
        let is_of_the_account = |name: &String| {
            NAMES.contains(&name.as_str()) && !FILES.contains(&name.as_str()) && !is_secret(name)
        };
        lower.retain(|name, _| !is_of_the_account(name));
        // A cloud that can't be read is an error when the settings are resolved.
        if has(&upper, SECRETS)
            || load(&over(upper.clone(), lower.clone())).is_ok_and(|cloud| has(&cloud, SECRETS))
        {
            remove(&mut lower, SECRETS);
        }
    }
    over(upper, lower)
}

fn has(settings: &Given, names: &[&str]) -> bool {
    names.iter().any(|name| settings.get(*name).is_some_and(|value| !value.is_empty()))
}

fn remove(settings: &mut Given, names: &[&str]) {
    settings.retain(|name, _| !names.contains(&name.as_str()));
}

/// Looks up settings, and records which required ones are missing.
pub(super) struct Settings {
    settings: Given,
    method: &'static str,
    missing: Vec<Missing>,
}

impl Settings {
    pub(super) fn new(settings: Given) -> Self {
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

    /// Returns the first of these names that has a value.
    pub(super) fn name_of(&self, names: &[&'static str]) -> Option<&'static str> {
        names.iter().copied().find(|name| self.has(&[name]))
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
        let name = self.name_of(names);
        name.and_then(|name| Some(parse(name, self.get(&[name])?))).transpose()
    }

    /// Returns the URL under the first of these names. If it is missing, it returns an arbitrary one, and
    /// [`complete`](Self::complete) fails.
    pub(super) fn need_url(&mut self, names: &[&'static str]) -> Result<Url, ConfigError> {
        let name = self.name_of(names).unwrap_or(names[0]);
        match self.need(names).as_str() {
            "" => parse(name, "http://missing"),
            value => parse(name, value),
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
