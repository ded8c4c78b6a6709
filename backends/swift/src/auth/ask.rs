//! The request for a token, in the protocol of each version of the identity service.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use object_store::PutPayload;
use serde_json::{Value, json};
use url::Url;

use crate::{
    config::{
        AppCredential, Config, ConfigError, Credentials, Domain, Endpoint, Identity, Named, Scope, Tenant,
    },
    secret::Secret,
    transport::{Outgoing, Pace},
};

/// The request for a token.
pub(super) struct Ask {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Secret,
}

impl Ask {
    /// Builds the request; None for credentials that are a token already.
    pub(super) fn new(credentials: &Credentials) -> Result<Option<Self>, ConfigError> {
        match credentials {
            Credentials::V1 { url, user, key } => Self::v1(url, user, key).map(Some),
            Credentials::V2 { url, user, password, tenant } => {
                Ok(Some(Self::post(url, "tokens", &v2(user, password, tenant))))
            }
            Credentials::V3 { url, identity, scope } => {
                Ok(Some(Self::post(url, "auth/tokens", &v3(identity, scope))))
            }
            Credentials::Token(_) => Ok(None),
        }
    }

    fn v1(url: &Url, user: &str, key: &Secret) -> Result<Self, ConfigError> {
        let mut headers = HeaderMap::new();
        for (header, value, setting) in
            [("x-auth-user", user, "ST_USER"), ("x-auth-key", key.expose(), "ST_KEY")]
        {
            let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
                ConfigError::invalid(setting, "contains a character that isn't allowed in an HTTP header")
            })?;
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(header), value);
        }
        Ok(Self { method: Method::GET, url: url.clone(), headers, body: Secret::new("") })
    }

    fn post(base: &Url, path: &str, body: &Value) -> Self {
        let mut url = base.clone();
        url.set_path(&format!("{}/{path}", base.path()));
        let json = HeaderValue::from_static("application/json");
        let headers = [(header::CONTENT_TYPE, json.clone()), (header::ACCEPT, json)].into_iter().collect();
        Self { method: Method::POST, url, headers, body: Secret::new(body.to_string()) }
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Everything that the request contains, except the method.
    fn content(&self) -> Value {
        let header = |(name, value): (&HeaderName, &HeaderValue)| json!([name.as_str(), value.as_bytes()]);
        let headers = self.headers.iter().map(header).collect::<Vec<_>>();
        json!([self.url.as_str(), headers, self.body.expose()])
    }

    pub(super) fn request(&self) -> Outgoing {
        Outgoing {
            method: self.method.clone(),
            url: self.url.clone(),
            headers: self.headers.clone(),
            body: PutPayload::from(self.body.expose().to_owned()),
            pace: Pace::Data,
        }
    }
}

impl Config {
    /// Returns the fingerprint of the account that these settings select: the same hexadecimal digits in each process
    /// with the same settings, whichever file they come from. It contains no secret, and a new password or token
    /// doesn't change it.
    ///
    /// # Errors
    ///
    /// A setting that can't be sent.
    pub fn fingerprint(&self) -> Result<String, ConfigError> {
        fingerprint(&self.credentials.without_secret(), &self.endpoint)
    }
}

/// Hashes everything that is requested with these credentials and everything that selects the account.
pub(super) fn fingerprint(credentials: &Credentials, endpoint: &Endpoint) -> Result<String, ConfigError> {
    let content = Ask::new(credentials)?.map(|ask| ask.content());
    let Endpoint { storage_url, region, interface } = endpoint;
    let meant = json!([content, storage_url.as_ref().map(Url::as_str), region, interface]);
    Ok(blake3::hash(meant.to_string().as_bytes()).to_hex().to_string())
}

/// The body of a request of version 3:
/// <https://docs.openstack.org/api-ref/identity/v3/#authentication-and-token-management>
fn v3(identity: &Identity, scope: &Scope) -> Value {
    let identity = match identity {
        Identity::Password { user, password } => {
            let mut user = named(user);
            user["password"] = json!(password.expose());
            json!({"methods": ["password"], "password": {"user": user}})
        }
        Identity::ApplicationCredential { credential, secret } => {
            let mut credential = match credential {
                AppCredential::Id(id) => json!({"id": id}),
                AppCredential::Name { name, user } => json!({"name": name, "user": named(user)}),
            };
            credential["secret"] = json!(secret.expose());
            json!({"methods": ["application_credential"], "application_credential": credential})
        }
        Identity::Token(token) => json!({"methods": ["token"], "token": {"id": token.expose()}}),
    };
    match scope {
        Scope::Project(project) => {
            json!({"auth": {"identity": identity, "scope": {"project": named(project)}}})
        }
        Scope::Trust(id) => json!({"auth": {"identity": identity, "scope": {"OS-TRUST:trust": {"id": id}}}}),
        Scope::Own => json!({"auth": {"identity": identity}}),
    }
}

fn named(named: &Named) -> Value {
    match named {
        Named::Id(id) => json!({"id": id}),
        Named::Name { name, domain: Domain::Id(id) } => json!({"name": name, "domain": {"id": id}}),
        Named::Name { name, domain: Domain::Name(domain) } => {
            json!({"name": name, "domain": {"name": domain}})
        }
    }
}

/// The body of a request of version 2.0, which Keystone removed in 2018.
fn v2(user: &str, password: &Secret, tenant: &Tenant) -> Value {
    let (key, value) = match tenant {
        Tenant::Id(id) => ("tenantId", id),
        Tenant::Name(name) => ("tenantName", name),
    };
    let credentials = json!({"username": user, "password": password.expose()});
    json!({"auth": {"passwordCredentials": credentials, key: value}})
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const PASSWORD: &[(&str, &str)] = &[
        ("OS_AUTH_URL", "http://keystone:5000"),
        ("OS_USERNAME", "archiver"),
        ("OS_PASSWORD", "hunter2"),
        ("OS_PROJECT_NAME", "backups"),
    ];

    fn config(settings: &[&[(&str, &str)]]) -> Config {
        let settings = settings.concat().into_iter().map(|(name, value)| (name.into(), value.into()));
        Config::from_settings(&settings.collect::<HashMap<String, String>>()).unwrap()
    }

    fn ask(settings: &[&[(&str, &str)]]) -> Ask {
        Ask::new(&config(settings).credentials).unwrap().unwrap()
    }

    fn body(settings: &[&[(&str, &str)]]) -> Value {
        serde_json::from_str(ask(settings).body.expose()).unwrap()
    }

    fn key(settings: &[&[(&str, &str)]]) -> String {
        let config = config(settings);
        fingerprint(&config.credentials, &config.endpoint).unwrap()
    }

    #[test]
    fn a_password_goes_with_user_and_project_in_the_default_domain() {
        assert_eq!(ask(&[PASSWORD]).url().as_str(), "http://keystone:5000/v3/auth/tokens");
        let user = json!({"name": "archiver", "domain": {"id": "default"}, "password": "hunter2"});
        let project = json!({"name": "backups", "domain": {"id": "default"}});
        let identity = json!({"methods": ["password"], "password": {"user": user}});
        assert_eq!(body(&[PASSWORD]), json!({"auth": {"identity": identity, "scope": {"project": project}}}));
    }

    #[test]
    fn ids_need_no_domain_and_win_over_names() {
        let body = body(&[PASSWORD, &[("OS_USER_ID", "u1"), ("OS_PROJECT_ID", "p1")]]);
        assert_eq!(body["auth"]["identity"]["password"]["user"], json!({"id": "u1", "password": "hunter2"}));
        assert_eq!(body["auth"]["scope"]["project"], json!({"id": "p1"}));
    }

    #[test]
    fn domains_go_by_name_or_id() {
        let domains = &[("OS_USER_DOMAIN_NAME", "Staff"), ("OS_PROJECT_DOMAIN_ID", "d7")];
        let body = body(&[PASSWORD, domains]);
        assert_eq!(body["auth"]["identity"]["password"]["user"]["domain"], json!({"name": "Staff"}));
        assert_eq!(body["auth"]["scope"]["project"]["domain"], json!({"id": "d7"}));
    }

    #[test]
    fn an_application_credential_goes_without_a_scope() {
        let credential = &[
            ("OS_APPLICATION_CREDENTIAL_ID", "c1"),
            ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
            ("OS_PROJECT_NAME", ""),
        ];
        let identity = json!({"methods": ["application_credential"], "application_credential": {"id": "c1", "secret": "s"}});
        assert_eq!(body(&[PASSWORD, credential]), json!({"auth": {"identity": identity}}));
    }

    #[test]
    fn an_application_credential_by_name_goes_with_its_user() {
        let credential = &[
            ("OS_APPLICATION_CREDENTIAL_NAME", "backup"),
            ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
            ("OS_PROJECT_NAME", ""),
        ];
        let user = json!({"name": "archiver", "domain": {"id": "default"}});
        assert_eq!(
            body(&[PASSWORD, credential])["auth"]["identity"]["application_credential"],
            json!({"name": "backup", "user": user, "secret": "s"})
        );
    }

    #[test]
    fn a_trust_takes_the_place_of_the_project() {
        let scope = &body(&[PASSWORD, &[("OS_TRUST_ID", "t1")]])["auth"]["scope"];
        assert_eq!(scope, &json!({"OS-TRUST:trust": {"id": "t1"}}));
    }

    #[test]
    fn a_token_is_exchanged_for_one_of_the_project() {
        let identity = &body(&[PASSWORD, &[("OS_TOKEN", "gAAA")]])["auth"]["identity"];
        assert_eq!(identity, &json!({"methods": ["token"], "token": {"id": "gAAA"}}));
    }

    #[test]
    fn a_version_in_the_url_gives_way_to_the_one_that_is_asked_for() {
        let asked =
            |url| ask(&[PASSWORD, &[("OS_AUTH_URL", url), ("OS_TENANT_NAME", "ops")]]).url().to_string();
        assert_eq!(asked("http://keystone/identity/v2"), "http://keystone/identity/v2.0/tokens");
        assert_eq!(asked("http://keystone/identity/v3.0/"), "http://keystone/identity/v3/auth/tokens");
        assert_eq!(asked("http://keystone/very"), "http://keystone/very/v3/auth/tokens");
    }

    #[test]
    fn version_2_asks_with_the_tenant() {
        let settings: &[&[(&str, &str)]] = &[
            PASSWORD,
            &[
                ("OS_AUTH_URL", "http://keystone:5000/v2.0/"),
                ("OS_PROJECT_NAME", ""),
                ("OS_TENANT_NAME", "ops"),
            ],
        ];
        assert_eq!(ask(settings).url().as_str(), "http://keystone:5000/v2.0/tokens");
        let credentials = json!({"username": "archiver", "password": "hunter2"});
        assert_eq!(
            body(settings),
            json!({"auth": {"passwordCredentials": credentials, "tenantName": "ops"}})
        );
    }

    #[test]
    fn version_1_asks_by_headers() {
        let ask = ask(&[&[("ST_AUTH", "http://swift/auth/v1.0"), ("ST_USER", "a:b"), ("ST_KEY", "k")]]);
        assert_eq!(ask.url().as_str(), "http://swift/auth/v1.0");
        assert_eq!(ask.headers["x-auth-user"], "a:b");
        assert_eq!(ask.headers["x-auth-key"], "k");
        assert!(ask.headers["x-auth-key"].is_sensitive());
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_named_and_not_shown() {
        let settings = &[("ST_AUTH", "http://swift/auth/v1.0"), ("ST_USER", "a:b"), ("ST_KEY", "hunter2\n")];
        let error = Ask::new(&config(&[settings]).credentials).err().unwrap().to_string();
        assert!(error.contains("ST_KEY") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_cached_token_is_filed_under_all_that_was_asked_for() {
        let keys = [
            key(&[PASSWORD]),
            key(&[PASSWORD, &[("OS_PASSWORD", "other")]]),
            key(&[PASSWORD, &[("OS_PROJECT_NAME", "other")]]),
            key(&[PASSWORD, &[("OS_AUTH_URL", "http://other:5000")]]),
            key(&[PASSWORD, &[("OS_REGION_NAME", "other")]]),
            key(&[PASSWORD, &[("OS_INTERFACE", "internal")]]),
            key(&[PASSWORD, &[("OS_STORAGE_URL", "http://other/v1/AUTH_a")]]),
        ];
        assert_eq!(keys.iter().collect::<std::collections::HashSet<_>>().len(), keys.len());
        assert_eq!(key(&[PASSWORD]), keys[0]);
        assert!(!keys.concat().contains("hunter2"));
    }
}
