//! Signs URLs that give access to one object for a limited time, without credentials (TempURL).
//!
//! The signature is an HMAC of the method, the time of expiry and the path of the object, which isn't percent-encoded.
//!
//! Sources: <https://docs.openstack.org/swift/latest/api/temporary_url_middleware.html>, and `rgw_swift_auth.cc` in
//! Ceph.

use std::{sync::Arc, time::Duration};

use http::Method;
use jiff::Timestamp;
use object_store::{Result, path::Path};
use percent_encoding::percent_decode_str;
use ring::hmac;
use url::Url;

use crate::{
    client::Request,
    clock,
    containers::Containers,
    dialect::TempUrl,
    error::{Error, Kind, SigningProblem, StoreError},
    handles::Handles,
    secret::Secret,
};

/// The methods for which a URL can be signed.
const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE];

/// The digests, the preferred one first.
const DIGESTS: [(&str, hmac::Algorithm); 3] = [
    ("sha256", hmac::HMAC_SHA256),
    ("sha512", hmac::HMAC_SHA512),
    ("sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
];

/// Signs URLs with the key of the account or of the container.
#[derive(Debug)]
pub(crate) struct Signing {
    containers: Arc<Containers>,
    key: Option<Secret>,
}

impl Signing {
    pub(crate) fn new(handles: &Handles, key: Option<Secret>) -> Self {
        Self { containers: Arc::clone(&handles.containers), key }
    }

    /// Returns a URL for one method, which expires after this time. It costs no request if there are a token and the
    /// cluster's `/info`.
    pub(crate) async fn signed_url(
        &self,
        method: Method,
        location: &Path,
        expires_in: Duration,
    ) -> Result<Url> {
        let target = self.containers.target(location);
        let failed = |reason| StoreError::Signing { target: target.to_string(), reason };
        let key = self.key.as_ref().ok_or_else(|| failed(SigningProblem::NoKey))?;
        if !METHODS.contains(&method) {
            return Err(failed(SigningProblem::Method(method)).into());
        }
        let of_request = |kind| Error::new(method.clone(), target.to_string(), 1, kind);
        let client = &self.containers.client;
        let session = client.session().await.map_err(|error| of_request(Kind::Auth(error)))?;
        let offered = client.info().await?.temp_url;
        let digest = offered.as_ref().and_then(digest).ok_or_else(|| failed(SigningProblem::NotOffered))?;
        let expires = self.expiry(expires_in).ok_or_else(|| failed(SigningProblem::Expiry))?;
        let url = Request::object(method.clone(), &target.container, &target.name).url(&session.storage_url);
        let url = url.ok_or_else(|| of_request(Kind::InvalidInput { what: "name" }))?;
        Ok(signed(url, &method, expires, digest, key))
    }

    /// The time of expiry, in seconds since 1970; None if it can't be expressed.
    fn expiry(&self, expires_in: Duration) -> Option<i64> {
        let of_servers = self.containers.client.server_time().and_then(|time| Timestamp::try_from(time).ok());
        let now = of_servers.unwrap_or_else(clock::now);
        now.checked_add(expires_in).ok().map(Timestamp::as_second)
    }
}

/// The preferred one of the digests that the cluster accepts.
fn digest(offered: &TempUrl) -> Option<hmac::Algorithm> {
    let is_offered = |name: &str| offered.allowed_digests.iter().any(|offered| offered == name);
    DIGESTS.into_iter().find(|(name, _)| is_offered(name)).map(|(_, digest)| digest)
}

/// Adds the signature to the URL of an object.
fn signed(mut url: Url, method: &Method, expires: i64, digest: hmac::Algorithm, key: &Secret) -> Url {
    let mut text = format!("{method}\n{expires}\n").into_bytes();
    text.extend(percent_decode_str(url.path()));
    let signature = hmac::sign(&hmac::Key::new(digest, key.expose().as_bytes()), &text);
    let signature: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    url.set_query(Some(&format!("temp_url_sig={signature}&temp_url_expires={expires}")));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(digests: &[&str]) -> TempUrl {
        TempUrl { allowed_digests: digests.iter().map(|digest| (*digest).to_owned()).collect() }
    }

    #[test]
    fn the_signature_is_that_of_the_decoded_path() {
        let url: Url = "https://swift/v1/AUTH_a/c%20d/%C3%A4/%25".parse().unwrap();
        let url = signed(url, &Method::GET, 1_800_000_000, hmac::HMAC_SHA256, &Secret::new("key"));
        // printf 'GET\n1800000000\n/v1/AUTH_a/c d/ä/%%' | openssl dgst -sha256 -hmac key
        let expected = "fea795614b7c4f7ef819a6654d24f7c52ec8269fcd65cc36329e906b835f39ad";
        let query = format!("temp_url_sig={expected}&temp_url_expires=1800000000");
        assert_eq!(url.as_str(), format!("https://swift/v1/AUTH_a/c%20d/%C3%A4/%25?{query}"));
    }

    #[test]
    fn a_digest_that_the_cluster_accepts_is_used() {
        let name = |digests: &[&str]| {
            let digest = digest(&offered(digests))?;
            DIGESTS.iter().find(|(_, other)| *other == digest).map(|(name, _)| *name)
        };
        assert_eq!(name(&["sha1", "sha256", "sha512"]), Some("sha256"));
        assert_eq!(name(&["sha1", "sha512"]), Some("sha512"));
        assert_eq!(digest(&TempUrl::default()), Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY));
        assert_eq!(name(&["blake3"]), None);
    }
}
