//! Settings of an account, in two steps: names and values as the OpenStack tools have them, and the [`Config`] that
//! they resolve to. Nothing is sent here.

mod clouds;
mod credentials;
mod error;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

#[cfg(any(test, fuzzing))]
pub use self::clouds::fuzz::clouds;
pub(crate) use self::credentials::{AppCredential, Credentials, Domain, Identity, Named, Scope, Tenant};
pub use self::error::{ConfigError, Missing};
use self::settings::Settings;

/// All that is needed to reach one account: credentials, which endpoint, how patient to be.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: Endpoint,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) token_cache: Option<PathBuf>,
    pub(crate) timeouts: Timeouts,
}

/// Where an account's objects are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// Taken instead of what the identity service says.
    pub(crate) storage_url: Option<Url>,
    /// None: the first that the catalog has.
    pub(crate) region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub(crate) interface: String,
}

/// How long to wait. None of them limits a transfer that moves.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To be connected.
    pub connect: Duration,
    /// With less than 64 KiB sent or received. A copy inside the cluster, which is silent until it is done, has ten
    /// times as long; so has a report for which the server keeps the connection alive. Half of `retry` if that is less.
    pub silence: Duration,
    /// In all, from when a request got nowhere any more until it fails: tries, pauses, silence, a renewed token. The first
    /// try has ten seconds in any case; zero means one try.
    pub retry: Duration,
}

/// Ten seconds, one minute, two minutes.
impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_secs(60),
            retry: Duration::from_secs(120),
        }
    }
}

impl Config {
    /// The names of all settings that [`from_settings`](Self::from_settings) knows, in alphabetical order; but for
    /// `HOME` and `XDG_CONFIG_HOME`, which tell it where the user's files are.
    pub const SETTINGS: &[&str] = settings::NAMES;

    /// Resolves settings named as in the environment of the OpenStack tools; empty ones count as absent. Reads
    /// the files that `OS_CLOUD` stands for, and no environment but for the home directory where `HOME` isn't among
    /// the settings: the caller passes what it wants seen.
    ///
    /// - v3: `OS_AUTH_URL` and either an application credential (`OS_APPLICATION_CREDENTIAL_SECRET` and `_ID`, or
    ///   `_NAME` and the user), a token (`OS_TOKEN`), or a password (`OS_PASSWORD` and `OS_USERNAME` or
    ///   `OS_USER_ID`; `OS_USER_DOMAIN_NAME` or `_ID`). Other than the first need a project (`OS_PROJECT_NAME` or
    ///   `_ID`; `OS_PROJECT_DOMAIN_NAME` or `_ID`) or a trust (`OS_TRUST_ID`). A domain not given is `default`.
    /// - v2.0: `OS_AUTH_URL`, `OS_USERNAME`, `OS_PASSWORD`, `OS_TENANT_NAME` or `_ID`.
    /// - v1: `ST_AUTH`, `ST_USER`, `ST_KEY`.
    /// - A token and its account: `OS_TOKEN`, `OS_STORAGE_URL`, and no `OS_AUTH_URL`.
    ///
    /// The version is `OS_IDENTITY_API_VERSION` (also `OS_AUTH_VERSION`, `ST_AUTH_VERSION`), else what the URL
    /// ends with, else 1 if only `ST_AUTH` is set, else 3. `OS_AUTH_TYPE`, if set, chooses among v3's ways.
    /// `OS_CLOUD` takes the cloud of that name from `clouds.yaml` and `secure.yaml` (`OS_CLIENT_CONFIG_FILE`,
    /// `OS_CLIENT_SECURE_FILE`, else the working directory, the user's configuration directory, and
    /// `/etc/openstack`); settings given here win over the cloud's. For all: `OS_REGION_NAME`, `OS_INTERFACE`
    /// (`OS_ENDPOINT_TYPE`), `OS_STORAGE_URL`, `OS_CACERT`.
    ///
    /// # Errors
    ///
    /// All that is missing at once; a value that can't be; a cloud that isn't there.
    pub fn from_settings(settings: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let cloud = clouds::load(settings)?;
        let mut settings = Settings::new(settings, &cloud);
        let endpoint = Endpoint {
            storage_url: settings.url(&["OS_STORAGE_URL"])?,
            region: settings.get(&["OS_REGION_NAME"]).map(str::to_owned),
            interface: interface(settings.get(&["OS_INTERFACE", "OS_ENDPOINT_TYPE"]))?,
        };
        let credentials = Credentials::from_settings(&mut settings, endpoint.storage_url.is_some())?;
        let ca_file = settings.get(&["OS_CACERT"]).map(PathBuf::from);
        settings.complete()?;
        Ok(Self { credentials, endpoint, ca_file, token_cache: None, timeouts: Timeouts::default() })
    }

    /// Keeps tokens in `directory`, which is made when needed, for this user alone. Another process with the same
    /// settings then needs no request to the identity service while the token lives.
    #[must_use]
    pub fn with_token_cache(mut self, directory: impl AsRef<Path>) -> Self {
        self.token_cache = Some(directory.as_ref().to_owned());
        self
    }

    /// Other patience than the default.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }
}

/// The interface's name as catalogs have it: `publicURL` is `public`.
fn interface(given: Option<&str>) -> Result<String, ConfigError> {
    let given = given.unwrap_or("public");
    match given.strip_suffix("URL").unwrap_or(given) {
        name @ ("public" | "internal" | "admin") => Ok(name.to_owned()),
        _ => Err(ConfigError::invalid("OS_INTERFACE", "is none of public, internal and admin")),
    }
}
