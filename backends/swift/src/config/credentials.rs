//! The credentials, and the version of the identity service that they are for.

use url::Url;

use super::{
    ConfigError,
    settings::{PROJECT, Settings},
};
use crate::secret::Secret;

const AUTH_URL: &[&str] = &["OS_AUTH_URL", "ST_AUTH"];
const USER: &[&str] = &["OS_USERNAME", "OS_USER_ID"];
const PROJECT_NAME: &[&str] = &["OS_PROJECT_NAME", "OS_TENANT_NAME"];
const PROJECT_ID: &[&str] = &["OS_PROJECT_ID", "OS_TENANT_ID"];
const TOKEN: &[&str] = &["OS_TOKEN", "OS_AUTH_TOKEN"];
const CREDENTIAL_ID: &str = "OS_APPLICATION_CREDENTIAL_ID";
const CREDENTIAL_NAME: &str = "OS_APPLICATION_CREDENTIAL_NAME";
const CREDENTIAL_SECRET: &str = "OS_APPLICATION_CREDENTIAL_SECRET";
const SECRETS: &[&str] = &[CREDENTIAL_SECRET, "OS_PASSWORD", "ST_KEY"];

/// The credentials, and the identity service that they are for.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// Swift's own version 1: the response to one GET contains token and account.
    V1 { url: Url, user: String, key: Secret },
    /// Keystone version 2.0, which was removed in 2018. The URL ends in `/v2.0`.
    V2 { url: Url, user: String, password: Secret, tenant: Tenant },
    /// Keystone version 3. The URL ends in `/v3`.
    V3 { url: Url, identity: Identity, scope: Scope },
    /// A token for the given storage URL. It can't be renewed.
    Token(Secret),
}

#[derive(Clone, Debug)]
pub(crate) enum Identity {
    Password { user: Named, password: Secret },
    ApplicationCredential { credential: AppCredential, secret: Secret },
    Token(Secret),
}

/// The name or id of an application credential. A name is unique only within its user.
#[derive(Clone, Debug)]
pub(crate) enum AppCredential {
    Id(String),
    Name { name: String, user: Named },
}

#[derive(Clone, Debug)]
pub(crate) enum Scope {
    Project(Named),
    Trust(String),
    /// The scope of an application credential, which accepts no other.
    Own,
}

/// A user or project. A name is unique only within its domain.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Id(String),
    Name { name: String, domain: Domain },
}

#[derive(Clone, Debug)]
pub(crate) enum Domain {
    Id(String),
    Name(String),
}

#[derive(Clone, Debug)]
pub(crate) enum Tenant {
    Id(String),
    Name(String),
}

impl Credentials {
    /// Returns the credentials without their secrets.
    pub(crate) fn without_secret(&self) -> Self {
        let mut bare = self.clone();
        match &mut bare {
            Self::V1 { key: secret, .. }
            | Self::V2 { password: secret, .. }
            | Self::V3 {
                identity:
                    Identity::Password { password: secret, .. }
                    | Identity::ApplicationCredential { secret, .. }
                    | Identity::Token(secret),
                ..
            }
            | Self::Token(secret) => *secret = Secret::new(""),
        }
        bare
    }

    /// Whether they are for Swift's own version 1.
    pub(crate) fn is_v1(&self) -> bool {
        matches!(self, Self::V1 { .. })
    }

    pub(super) fn from_settings(settings: &mut Settings, has_storage_url: bool) -> Result<Self, ConfigError> {
        if has_storage_url && settings.has(TOKEN) && !settings.has(AUTH_URL) {
            return Ok(Self::Token(settings.need_secret(TOKEN)));
        }
        let known = [AUTH_URL, USER, TOKEN, SECRETS, &[CREDENTIAL_ID, CREDENTIAL_NAME, "ST_USER"]];
        if !known.iter().any(|names| settings.has(names)) {
            return Err(ConfigError::NoCredentials);
        }
        match Version::of(settings)? {
            Version::V1 => v1(settings),
            Version::V2 => v2(settings),
            Version::V3 => v3(settings),
        }
    }
}

#[derive(Clone, Copy)]
enum Version {
    V1,
    V2,
    V3,
}

impl Version {
    fn of(settings: &Settings) -> Result<Self, ConfigError> {
        let names = ["OS_IDENTITY_API_VERSION", "OS_AUTH_VERSION", "ST_AUTH_VERSION"];
        if let Some(given) = settings.get(&names) {
            return Self::parse(given)
                .ok_or_else(|| ConfigError::invalid(names[0], "is not one of 1, 2.0 and 3"));
        }
        let url = settings.get(AUTH_URL).unwrap_or_default();
        let last = url.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let fallback =
            if settings.has(&["ST_AUTH"]) && !settings.has(&["OS_AUTH_URL"]) { Self::V1 } else { Self::V3 };
        Ok(Self::named(last).unwrap_or(fallback))
    }

    /// The version that the last part of a URL's path names.
    fn named(part: &str) -> Option<Self> {
        part.strip_prefix('v').and_then(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        match text.trim_start_matches('v') {
            "1" | "1.0" => Some(Self::V1),
            "2" | "2.0" => Some(Self::V2),
            "3" | "3.0" => Some(Self::V3),
            _ => None,
        }
    }
}

fn v1(settings: &mut Settings) -> Result<Credentials, ConfigError> {
    settings.for_method("Swift's v1 authentication");
    Ok(Credentials::V1 {
        url: settings.need_url(&["ST_AUTH", "OS_AUTH_URL"])?,
        user: settings.need(&["ST_USER", "OS_USERNAME"]),
        key: settings.need_secret(&["ST_KEY", "OS_PASSWORD"]),
    })
}

fn v2(settings: &mut Settings) -> Result<Credentials, ConfigError> {
    settings.for_method("Keystone v2.0");
    Ok(Credentials::V2 {
        url: versioned(settings, "v2.0")?,
        user: settings.need(&["OS_USERNAME", "ST_USER"]),
        password: settings.need_secret(&["OS_PASSWORD", "ST_KEY"]),
        tenant: match settings.get(PROJECT_ID).map(str::to_owned) {
            Some(id) => Tenant::Id(id),
            None => Tenant::Name(settings.need(&["OS_TENANT_NAME", "OS_PROJECT_NAME", "OS_TENANT_ID"])),
        },
    })
}

fn v3(settings: &mut Settings) -> Result<Credentials, ConfigError> {
    let identity = match Way::of(settings)? {
        Way::ApplicationCredential => {
            settings.for_method("an application credential");
            accepts_no_project(settings)?;
            let credential = app_credential(settings);
            let secret = settings.need_secret(&[CREDENTIAL_SECRET]);
            let identity = Identity::ApplicationCredential { credential, secret };
            return Ok(Credentials::V3 { url: versioned(settings, "v3")?, identity, scope: Scope::Own });
        }
        Way::Token => {
            settings.for_method("a token");
            Identity::Token(settings.need_secret(TOKEN))
        }
        Way::Password => {
            settings.for_method("a password");
            Identity::Password {
                user: user(settings),
                password: settings.need_secret(&["OS_PASSWORD", "ST_KEY"]),
            }
        }
    };
    Ok(Credentials::V3 { url: versioned(settings, "v3")?, identity, scope: scope(settings) })
}

enum Way {
    ApplicationCredential,
    Token,
    Password,
}

impl Way {
    fn of(settings: &Settings) -> Result<Self, ConfigError> {
        match settings.get(&["OS_AUTH_TYPE"]) {
            Some("v3applicationcredential") => Ok(Self::ApplicationCredential),
            Some("token" | "v3token") => Ok(Self::Token),
            Some("password" | "v3password") => Ok(Self::Password),
            Some(_) => Err(ConfigError::invalid(
                "OS_AUTH_TYPE",
                "is not one of v3password, v3token and v3applicationcredential",
            )),
            // Any of these three settings selects the method; the missing ones are reported.
            None if settings.has(&[CREDENTIAL_ID, CREDENTIAL_NAME, CREDENTIAL_SECRET]) => {
                Ok(Self::ApplicationCredential)
            }
            None if settings.has(TOKEN) => Ok(Self::Token),
            None => Ok(Self::Password),
        }
    }
}

/// Fails if a project or trust is given, too. Keystone refuses a request for it. If it was ignored, a project that an
/// option names would be another one than the data go to.
fn accepts_no_project(settings: &Settings) -> Result<(), ConfigError> {
    match (settings.name_of(PROJECT), settings.name_of(&[CREDENTIAL_ID, CREDENTIAL_NAME])) {
        (Some(project), Some(credential)) => Err(ConfigError::BoundToProject { project, credential }),
        _ => Ok(()),
    }
}

fn app_credential(settings: &mut Settings) -> AppCredential {
    let name = settings.get(&[CREDENTIAL_NAME]).map(str::to_owned);
    match (settings.get(&[CREDENTIAL_ID]), name) {
        (None, Some(name)) => AppCredential::Name { name, user: user(settings) },
        _ => AppCredential::Id(settings.need(&[CREDENTIAL_ID, CREDENTIAL_NAME])),
    }
}

fn user(settings: &mut Settings) -> Named {
    match settings.get(&["OS_USER_ID"]) {
        Some(id) => Named::Id(id.to_owned()),
        None if settings.has(&["ST_USER"]) && !settings.has(USER) => named(settings, &["ST_USER"], "USER"),
        None => named(settings, USER, "USER"),
    }
}

fn scope(settings: &mut Settings) -> Scope {
    if let Some(trust) = settings.get(&["OS_TRUST_ID"]) {
        return Scope::Trust(trust.to_owned());
    }
    if let Some(id) = settings.get(PROJECT_ID) {
        return Scope::Project(Named::Id(id.to_owned()));
    }
    Scope::Project(named(settings, &[PROJECT_NAME, PROJECT_ID].concat(), "PROJECT"))
}

/// Reads a name with its domain: `OS_USER_DOMAIN_NAME` or `_ID`, or `OS_DEFAULT_DOMAIN`, or the domain `default`.
fn named(settings: &mut Settings, names: &[&'static str], what: &str) -> Named {
    let name = settings.need(names);
    let setting = |suffix| settings.get(&[format!("OS_{what}_DOMAIN_{suffix}").as_str()]).map(str::to_owned);
    let domain = setting("ID").map(Domain::Id).or_else(|| setting("NAME").map(Domain::Name));
    let domain = domain
        .unwrap_or_else(|| Domain::Id(settings.get(&["OS_DEFAULT_DOMAIN"]).unwrap_or("default").into()));
    Named::Name { name, domain }
}

/// Returns the identity service's URL with this version at its end, in place of any that was given.
fn versioned(settings: &mut Settings, version: &str) -> Result<Url, ConfigError> {
    let mut url = settings.need_url(AUTH_URL)?;
    let path = url.path().trim_end_matches('/');
    let base = path.rsplit_once('/').filter(|(_, last)| Version::named(last).is_some());
    let path = format!("{}/{version}", base.map_or(path, |(base, _)| base));
    url.set_path(&path);
    Ok(url)
}
