//! A fuzzing target: it must not panic, whatever the bytes are.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;

use super::Reply;
use crate::config::Config;

/// Reads the bytes as a response of each version of the identity service; for version 1, as its headers.
pub fn catalog(bytes: &[u8]) {
    for (auth_url, status) in [("http://k/v3", 201), ("http://k/v2.0", 200), ("http://k/auth/v1.0", 200)] {
        let Some((config, reply)) = config(auth_url).zip(reply(status, bytes)) else { continue };
        for now in [Timestamp::UNIX_EPOCH, Timestamp::MAX, Timestamp::MIN] {
            if let Err(error) = reply.session(&config.credentials, &config.endpoint, now) {
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
    }
}

fn config(auth_url: &str) -> Option<Config> {
    let settings = match auth_url.ends_with("v1.0") {
        true => vec![("ST_AUTH", auth_url), ("ST_USER", "u"), ("ST_KEY", "p")],
        false => vec![
            ("OS_AUTH_URL", auth_url),
            ("OS_USERNAME", "u"),
            ("OS_PASSWORD", "p"),
            ("OS_TENANT_NAME", "ops"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ],
    };
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::from_settings(&settings.collect::<HashMap<_, _>>()).ok()
}

fn reply(status: u16, bytes: &[u8]) -> Option<Reply> {
    let mut headers = HeaderMap::new();
    headers.insert("x-subject-token", HeaderValue::from_static("secret"));
    let mut lines = bytes.split(|byte| *byte == b'\n');
    for name in ["x-auth-token", "x-storage-url", "x-auth-token-expires"] {
        if let Some(value) = lines.next().and_then(|line| HeaderValue::from_bytes(line).ok()) {
            headers.insert(name, value);
        }
    }
    let body = Bytes::copy_from_slice(bytes);
    Some(Reply {
        status: StatusCode::from_u16(status).ok()?,
        url: "http://k/v3".parse().ok()?,
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_has_a_configuration_of_every_protocol() {
        for auth_url in ["http://k/v3", "http://k/v2.0", "http://k/auth/v1.0"] {
            assert!(config(auth_url).is_some(), "{auth_url}");
        }
    }
}
