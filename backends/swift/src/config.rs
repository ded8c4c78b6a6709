//! The settings of an account, in two steps: names and values as in the OpenStack tools, and the [`Config`] that they
//! resolve to. No request is sent here.

mod clouds;
mod credentials;
mod error;
mod proxies;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    time::Duration,
};

use url::Url;

#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub use self::clouds::fuzz::clouds;
pub(crate) use self::credentials::{AppCredential, Credentials, Domain, Identity, Named, Scope, Tenant};
pub use self::error::{ConfigError, Missing};
pub(crate) use self::proxies::{Proxies, Proxy};
use self::settings::Settings;

/// Everything needed to reach one account: credentials, the endpoint to use, time limits.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) credentials: Credentials,
    pub(crate) endpoint: Endpoint,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) token_cache: Option<PathBuf>,
    /// None for those that the environment names.
    pub(crate) proxies: Option<Proxies>,
    pub(crate) timeouts: Timeouts,
}

/// Which endpoint of the account to use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint {
    /// Used instead of the URL in the catalog.
    pub(crate) storage_url: Option<Url>,
    /// None for the first one in the catalog.
    pub(crate) region: Option<String>,
    /// `public`, `internal` or `admin`.
    pub(crate) interface: String,
}

/// Time limits. None of them limits a transfer that makes progress.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For establishing a connection.
    pub connect: Duration,
    /// How long less than 64 KiB may be sent or received. A copy inside the cluster, which is silent until it is done,
    /// may take ten times as long, and so may a report while the server keeps the connection alive. It is half of
    /// `retry` if that is less.
    pub silence: Duration,
    /// How long a request may make no progress before it fails, in total: tries, pauses, silence, token renewal. The
    /// first try has ten seconds in any case; zero means one try.
    pub retry: Duration,
}

/// Ten seconds, one minute and two minutes.
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
    /// The names of all settings that [`from_settings`](Self::from_settings) accepts, in alphabetical order, except
    /// `HOME` and `XDG_CONFIG_HOME`, which say where the user's files are.
    pub const SETTINGS: &[&str] = settings::NAMES;

    /// Resolves settings that are named as in the environment of the OpenStack tools. Empty settings count as absent.
    /// It reads the files that `OS_CLOUD` refers to. It doesn't read the environment, except for the home directory if
    /// `HOME` isn't among the settings: the caller passes the settings to use.
    ///
    /// - v3: `OS_AUTH_URL` and either an application credential (`OS_APPLICATION_CREDENTIAL_SECRET` and `_ID`, or
    ///   `_NAME` and the user), a token (`OS_TOKEN`), or a password (`OS_PASSWORD` and `OS_USERNAME` or `OS_USER_ID`;
    ///   `OS_USER_DOMAIN_NAME` or `_ID`). A token or password also needs a project (`OS_PROJECT_NAME` or `_ID`;
    ///   `OS_PROJECT_DOMAIN_NAME` or `_ID`) or a trust (`OS_TRUST_ID`). The default domain is `default`.
    /// - v2.0: `OS_AUTH_URL`, `OS_USERNAME`, `OS_PASSWORD`, `OS_TENANT_NAME` or `_ID`.
    /// - v1: `ST_AUTH`, `ST_USER`, `ST_KEY`.
    /// - A token and its account: `OS_TOKEN`, `OS_STORAGE_URL`, and no `OS_AUTH_URL`.
    ///
    /// The version is `OS_IDENTITY_API_VERSION` (also `OS_AUTH_VERSION`, `ST_AUTH_VERSION`), or the end of the URL, or
    /// 1 if only `ST_AUTH` is set, or 3. `OS_AUTH_TYPE`, if set, chooses the method of v3. `OS_CLOUD` takes the cloud
    /// of that name from `clouds.yaml` and `secure.yaml` (`OS_CLIENT_CONFIG_FILE`, `OS_CLIENT_SECURE_FILE`, or those in
    /// the working directory, the user's configuration directory, and `/etc/openstack`); settings given here override
    /// the cloud's, as with [`merge_settings`](Self::merge_settings). The region of a cloud that lists several is the
    /// first, unless `OS_REGION_NAME` is set. With every version: `OS_REGION_NAME`, `OS_INTERFACE`
    /// (`OS_ENDPOINT_TYPE`), `OS_STORAGE_URL` (`OS_OBJECT_STORE_ENDPOINT_OVERRIDE`), `OS_CACERT`.
    ///
    /// # Errors
    ///
    /// All missing settings at once; an invalid value; an unknown cloud; a project or trust beside an application
    /// credential, which is bound to its own project.
    pub fn from_settings(settings: &HashMap<String, String>) -> Result<Self, ConfigError> {
        let cloud = clouds::load(settings)?;
        let mut settings = Settings::new(settings::over(settings.clone(), cloud));
        let endpoint = Endpoint {
            storage_url: settings.url(settings::STORAGE_URL)?,
            region: settings.get(&["OS_REGION_NAME"]).map(str::to_owned),
            interface: interface(settings.get(&["OS_INTERFACE", "OS_ENDPOINT_TYPE"]))?,
        };
        let credentials = Credentials::from_settings(&mut settings, endpoint.storage_url.is_some())?;
        let ca_file = settings.get(&["OS_CACERT"]).map(PathBuf::from);
        settings.complete()?;
        Ok(Self {
            credentials,
            endpoint,
            ca_file,
            token_cache: None,
            proxies: None,
            timeouts: Timeouts::default(),
        })
    }

    /// Caches tokens in `directory`, which is created when needed and which only this user can read. Another process
    /// with the same settings then needs no request to the identity service until the token expires.
    #[must_use]
    pub fn with_token_cache(mut self, directory: impl AsRef<Path>) -> Self {
        self.token_cache = Some(directory.as_ref().to_owned());
        self
    }

    /// Merges the settings of two sources, such as the environment and a file, of which the `upper` one overrides the
    /// `lower` one.
    ///
    /// Several names of one thing are one setting: a project's name in the upper source hides its id in the lower one.
    /// The domain of a project or user comes from the source of its name or id, or else from one below that. An
    /// application credential in the upper source hides a project in the lower one. If the upper source names a cloud
    /// (`OS_CLOUD`) that the lower one doesn't, the settings of the lower one are not used, except for the secret if the
    /// cloud has none, and the files. For that, the files that `OS_CLOUD` refers to are read; one that can't be read is left to
    /// [`from_settings`](Self::from_settings).
    #[must_use]
    pub fn merge_settings(
        upper: HashMap<String, String>,
        lower: HashMap<String, String>,
    ) -> HashMap<String, String> {
        settings::over_with_cloud(upper, lower, clouds::load)
    }

    /// Sets other time limits than the default.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }
}

/// The interface's name as catalogs have it: `public` for `publicURL`.
fn interface(given: Option<&str>) -> Result<String, ConfigError> {
    let given = given.unwrap_or("public");
    match given.strip_suffix("URL").unwrap_or(given) {
        name @ ("public" | "internal" | "admin") => Ok(name.to_owned()),
        _ => Err(ConfigError::invalid("OS_INTERFACE", "is not one of public, internal and admin")),
    }
}
