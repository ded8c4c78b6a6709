//! The response of the identity service, and the session in it.

#[cfg(any(test, fuzzing, feature = "fuzz"))]
pub(super) mod fuzz;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use super::{
    AuthError, Session,
    catalog::{EndpointV2, EndpointV3, Offer, Service, offers_v2, offers_v3, pick, usable},
    lenient,
};
use crate::{
    config::{Credentials, Endpoint, Identity},
    secret::Secret,
    transport::{Answer, Broken, redirection},
};

/// More than the catalog of a large cloud, which has a few hundred KiB.
const MOST_BYTES: usize = 8 << 20;

/// The complete response of the identity service.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// The content of a response, in any version of the protocol.
struct Grant {
    token: Secret,
    life: Option<SignedDuration>,
    place: Place,
}

enum Place {
    /// The URL of the account; None if it is missing or invalid.
    Account(Option<Url>),
    Catalog(Vec<Offer>),
}

#[derive(Deserialize)]
struct BodyV3 {
    token: TokenV3,
}

#[derive(Deserialize)]
struct TokenV3 {
    #[serde(default, deserialize_with = "lenient::optional")]
    issued_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::optional")]
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "lenient::elements")]
    catalog: Vec<Service<EndpointV3>>,
}

#[derive(Deserialize)]
struct BodyV2 {
    access: AccessV2,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AccessV2 {
    token: TokenV2,
    #[serde(default, deserialize_with = "lenient::elements")]
    service_catalog: Vec<Service<EndpointV2>>,
}

#[derive(Deserialize)]
struct TokenV2 {
    id: Secret,
    #[serde(default, deserialize_with = "lenient::optional")]
    expires: Option<Timestamp>,
}

impl Reply {
    pub(super) async fn read(url: &Url, answer: Answer) -> Result<Self, Broken> {
        let (status, headers) = (answer.status, answer.headers.clone());
        Ok(Self { status, url: url.clone(), headers, body: answer.bytes(MOST_BYTES).await? })
    }

    /// Returns the session that this response grants.
    pub(super) fn session(
        &self,
        credentials: &Credentials,
        endpoint: &Endpoint,
        now: Timestamp,
    ) -> Result<Session, AuthError> {
        self.accepted(credentials)?;
        let Grant { token, life, place } = match credentials {
            Credentials::V1 { .. } => self.v1()?,
            Credentials::V2 { .. } => self.v2(now)?,
            Credentials::V3 { .. } | Credentials::Token(_) => self.v3(now)?,
        };
        let storage_url = match (&endpoint.storage_url, place) {
            (Some(url), _) => url.clone(),
            (None, Place::Account(url)) => {
                url.ok_or_else(|| self.unreadable("it has no X-Storage-Url with a valid URL"))?
            }
            (None, Place::Catalog(offers)) => pick(&offers, endpoint)?,
        };
        Ok(Session::new(token, storage_url, now, life))
    }

    fn accepted(&self, credentials: &Credentials) -> Result<(), AuthError> {
        let (url, status, is_v1) = (self.url.clone(), self.status, credentials.is_v1());
        match status.as_u16() {
            200..300 => Ok(()),
            401 | 403 => Err(AuthError::Refused { url, status }),
            300..=399 if let Some(to) = redirection(&self.url, &self.headers) => {
                let to = self.without_request(to);
                Err(AuthError::Redirected { url, status, to, is_v1 })
            }
            // Keystone answers 404 for an application credential or a token that it doesn't know.
            404 if may_be_unknown(credentials) && self.is_worded() => Err(AuthError::Refused { url, status }),
            _ => Err(AuthError::NotThere { url, status, is_v1 }),
        }
    }

    /// The URL that leads to `to` when the path of this request is appended, as it is to that of the setting.
    fn without_request(&self, mut to: Url) -> String {
        let requests = ["/auth/tokens", "/tokens"];
        let suffix = requests.into_iter().find(|suffix| self.url.path().ends_with(suffix));
        if let Some(path) = suffix.and_then(|suffix| to.path().strip_suffix(suffix)).map(str::to_owned) {
            to.set_path(&path);
        }
        to.to_string()
    }

    /// Whether the error comes from Keystone, rather than from a web server that doesn't know the path.
    fn is_worded(&self) -> bool {
        let body = serde_json::from_slice::<serde_json::Value>(&self.body).unwrap_or_default();
        body["error"]["message"].is_string()
    }

    fn v1(&self) -> Result<Grant, AuthError> {
        let header = |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok());
        let token = header("x-auth-token").or_else(|| header("x-storage-token"));
        let url = usable(header("x-storage-url").map(str::to_owned));
        let seconds = header("x-auth-token-expires").and_then(|seconds| seconds.parse().ok());
        Ok(Grant {
            token: Secret::new(token.ok_or_else(|| self.unreadable("it has no X-Auth-Token"))?),
            life: seconds.map(SignedDuration::from_secs),
            place: Place::Account(url),
        })
    }

    /// Reads a response of version 2.0. Its time of issue has no zone, so the lifetime is counted from now.
    fn v2(&self, now: Timestamp) -> Result<Grant, AuthError> {
        let BodyV2 { access } = self.json()?;
        Ok(Grant {
            token: access.token.id,
            life: access.token.expires.map(|expires| expires.duration_since(now)),
            place: Place::Catalog(offers_v2(access.service_catalog)),
        })
    }

    /// Reads a response of version 3. The lifetime is counted from now if the time of issue is missing.
    fn v3(&self, now: Timestamp) -> Result<Grant, AuthError> {
        let token = self.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
        let token = Secret::new(token.ok_or_else(|| self.unreadable("it has no X-Subject-Token"))?);
        let body = self.json::<BodyV3>()?.token;
        Ok(Grant {
            token,
            life: body.expires_at.map(|expires| expires.duration_since(body.issued_at.unwrap_or(now))),
            place: Place::Catalog(offers_v3(body.catalog)),
        })
    }

    /// Parses the body. The error gives only the position, since the parser's message may quote a token.
    fn json<T: DeserializeOwned>(&self) -> Result<T, AuthError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            self.unreadable(&format!("it isn't the expected JSON, line {line}, column {column}"))
        })
    }

    fn unreadable(&self, problem: &str) -> AuthError {
        AuthError::Unreadable { url: self.url.clone(), problem: problem.to_owned() }
    }
}

fn may_be_unknown(credentials: &Credentials) -> bool {
    let Credentials::V3 { identity, .. } = credentials else { return false };
    matches!(identity, Identity::ApplicationCredential { .. } | Identity::Token(_))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::Config;

    const V2: &str = r#"{"access": {
        "token": {"id": "t2", "issued_at": "2013-08-28T18:10:00.000001", "expires": "1970-01-01T01:00:00Z",
                  "tenant": {"id": "x", "name": "ops"}},
        "serviceCatalog": [{"type": "image", "name": "glance", "endpoints": []},
            {"type": "object-store", "name": "swift", "endpoints": [
                {"region": "north", "publicURL": "http://north/v1/AUTH_x", "internalURL": "http://in/v1/AUTH_x"},
                {"region": "south", "publicURL": "http://south/v1/AUTH_x"}]}]}}"#;

    fn v3(catalog: &str) -> String {
        format!(
            r#"{{"token": {{"issued_at": "2030-01-01T00:00:00.000000Z", "expires_at": "2030-01-01T01:00:00.000000Z",
                "methods": ["password"], "catalog": [{{"type": "object-store", "endpoints": [{catalog}]}}]}}}}"#
        )
    }

    const PUBLIC: &str = r#"{"id": "1", "interface": "public", "region": "north", "region_id": "north", "url": "http://n/v1/AUTH_p"}"#;

    fn config(auth_url: &str, more: &[(&str, &str)]) -> Config {
        let settings = [
            ("OS_AUTH_URL", auth_url),
            ("OS_USERNAME", "u"),
            ("OS_PASSWORD", "p"),
            ("OS_TENANT_NAME", "ops"),
        ];
        let settings = settings.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into()));
        Config::from_settings(&settings.collect::<HashMap<String, String>>()).unwrap()
    }

    fn read(
        config: &Config,
        status: u16,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Session, AuthError> {
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        let reply = Reply {
            status: StatusCode::from_u16(status).unwrap(),
            url: "http://k/v3/auth/tokens".parse().unwrap(),
            headers: headers.collect(),
            body: Bytes::from(body.to_owned()),
        };
        reply.session(&config.credentials, &config.endpoint, Timestamp::UNIX_EPOCH)
    }

    fn read_v3(more: &[(&str, &str)], body: &str) -> Result<Session, AuthError> {
        read(&config("http://k/v3", more), 201, &[("x-subject-token", "t3")], body)
    }

    #[test]
    fn version_2_has_token_and_catalog_in_its_body() {
        let session = read(&config("http://k/v2.0", &[("OS_REGION_NAME", "south")]), 200, &[], V2).unwrap();
        assert_eq!(session.token.expose(), "t2");
        assert_eq!(session.storage_url.as_str(), "http://south/v1/AUTH_x");
        assert_eq!(session.renew_at, Timestamp::from_second(3300).unwrap());
    }

    #[test]
    fn the_interface_is_picked_as_asked() {
        let config = config("http://k/v2.0", &[("OS_ENDPOINT_TYPE", "internalURL")]);
        assert_eq!(read(&config, 200, &[], V2).unwrap().storage_url.as_str(), "http://in/v1/AUTH_x");
    }

    #[test]
    fn a_servers_clock_that_is_years_off_does_not_matter() {
        let session = read_v3(&[], &v3(PUBLIC)).unwrap();
        assert_eq!(session.token.expose(), "t3");
        assert_eq!(session.renew_at, Timestamp::from_second(3300).unwrap());
    }

    #[test]
    fn a_storage_url_of_ones_own_needs_no_catalog() {
        let own = [("OS_STORAGE_URL", "http://own/v1/AUTH_o/")];
        assert_eq!(read_v3(&own, &v3("")).unwrap().storage_url.as_str(), "http://own/v1/AUTH_o");
    }

    /// What operators have entered into catalogs for other services, and what other services of a cloud are.
    const ODD: &str = r#"null, 7, {}, [], {"type": null}, {"type": "image"}, {"endpoints": null, "type": "volume"},
        {"type": "metric", "endpoints": [{"interface": null, "url": null, "region_id": null}]},
        {"type": "compute", "endpoints": {"public": "http://c"}}, {"type": 5, "endpoints": []}"#;

    fn v3_beside(odd: &str, catalog: &str) -> String {
        v3(catalog).replace(r#""catalog": ["#, &format!(r#""catalog": [{odd}, "#))
    }

    #[test]
    fn odd_services_and_endpoints_do_not_hide_the_object_store() {
        let odd = r#"null, {"interface": null, "url": "http://x"}, {"url": "http://y/"},
            {"interface": "public", "region": null, "url": null}, {"interface": "public", "url": "$(tenant_id)s"}"#;
        let body = v3_beside(ODD, &format!("{odd}, {PUBLIC}"));
        assert_eq!(read_v3(&[], &body).unwrap().storage_url.as_str(), "http://n/v1/AUTH_p");

        let odd_v2 = r#"null, {"type": "image"}, {"type": "object-store", "endpoints": null},
            {"type": "object-store", "endpoints": [null, {"region": 4, "publicURL": null, "adminURL": 7}]}, {"type": "image", "#;
        let body = V2.replace(r#"{"type": "image", "#, odd_v2);
        let session = read(&config("http://k/v2.0", &[]), 200, &[], &body).unwrap();
        assert_eq!(session.storage_url.as_str(), "http://north/v1/AUTH_x");
    }

    #[test]
    fn a_storage_url_of_ones_own_needs_nothing_but_the_token() {
        let own = [("OS_STORAGE_URL", "http://own/v1/AUTH_o")];
        let expires = r#""expires_at": "2030-01-01T01:00:00Z""#;
        for token in ["{}", r#"{"catalog": null}"#, r#"{"catalog": {"object-store": 1}, "issued_at": null}"#]
        {
            let token =
                token.replacen('{', &format!("{{{expires}{}", if token == "{}" { "" } else { ", " }), 1);
            let session = read_v3(&own, &format!(r#"{{"token": {token}}}"#)).unwrap();
            assert_eq!(session.storage_url.as_str(), "http://own/v1/AUTH_o");
        }
        let v1 = config("http://k/auth/v1.0", &own);
        let session = read(&v1, 200, &[("x-auth-token", "t")], "").unwrap();
        assert_eq!(session.storage_url.as_str(), "http://own/v1/AUTH_o");
    }

    #[test]
    fn a_token_without_its_times_is_used_for_a_while() {
        let body = v3(PUBLIC).replace("_at\": \"2030-01-01T0", "_at\": \"?");
        let session = read_v3(&[], &body).unwrap();
        assert_eq!(session.ends_at, Timestamp::from_second(600).unwrap());
        let body = V2.replace("1970-01-01T01:00:00Z", "");
        let session = read(&config("http://k/v2.0", &[]), 200, &[], &body).unwrap();
        assert_eq!(session.ends_at, Timestamp::from_second(600).unwrap());
    }

    #[test]
    fn an_endpoint_without_a_valid_url_is_told_as_that() {
        let error =
            read_v3(&[], &v3(r#"{"interface": "public", "region": "north", "url": "none"}"#)).unwrap_err();
        assert!(error.to_string().ends_with("it has public in north (without a valid URL)"), "{error}");
        let v1 = config("http://k/auth/v1.0", &[]);
        let error =
            read(&v1, 200, &[("x-auth-token", "t"), ("x-storage-url", "/v1/AUTH_a")], "").unwrap_err();
        assert!(error.to_string().contains("no X-Storage-Url with a valid URL"), "{error}");
    }

    #[test]
    fn an_endpoint_without_a_valid_url_does_not_lead_to_another_region() {
        let south = PUBLIC.replace("north", "south");
        let broken = r#"{"interface": "public", "region_id": "north", "url": null}"#;
        let error = read_v3(&[], &v3(&format!("{broken}, {south}"))).unwrap_err().to_string();
        assert!(error.contains("public in north (without a valid URL)"), "{error}");
    }

    #[test]
    fn a_region_that_is_not_there_is_answered_with_those_that_are() {
        let error = read_v3(&[("OS_REGION_NAME", "west")], &v3(PUBLIC)).unwrap_err().to_string();
        assert!(error.contains("public in west") && error.contains("public in north"), "{error}");
    }

    #[test]
    fn a_page_that_is_no_keystone_is_not_taken_for_a_refusal() {
        let error = read(&config("http://k/v3", &[]), 404, &[], "<html>").unwrap_err();
        assert!(matches!(error, AuthError::NotThere { .. }), "{error}");
        assert!(read(&config("http://k/v3", &[]), 401, &[], "").unwrap_err().is_refusal());
    }

    #[test]
    fn a_token_that_keystone_does_not_know_is_refused() {
        let token = config("http://k/v3", &[("OS_TOKEN", "gAAA")]);
        let body = r#"{"error": {"code": 404, "message": "Could not recognize Fernet token", "title": "Not Found"}}"#;
        assert!(read(&token, 404, &[], body).unwrap_err().is_refusal());
        let elsewhere = read(&token, 404, &[], "<html>").unwrap_err();
        assert!(matches!(elsewhere, AuthError::NotThere { .. }), "{elsewhere}");
        let password = read(&config("http://k/v3", &[]), 404, &[], body).unwrap_err();
        assert!(matches!(password, AuthError::NotThere { .. }), "{password}");
    }

    #[test]
    fn an_answer_that_is_cut_says_nothing_of_the_token_in_it() {
        let config = config("http://k/v2.0", &[]);
        let error =
            read(&config, 200, &[], &V2.replace("\"id\": \"t2\",", "\"id\": t2,")).unwrap_err().to_string();
        assert!(error.contains("line 2") && !error.contains("t2"), "{error}");
    }
}
