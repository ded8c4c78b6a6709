//! TLS between real endpoints: certificates that the test creates, and a server that answers a version 1 token request.

mod proxied;

use std::{collections::HashMap, error::Error, fs, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa,
    KeyPair,
};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::Client;
use crate::Config;

const GRANTED: &[u8] = b"HTTP/1.1 200 OK\r\nX-Auth-Token: t\r\nX-Storage-Url: https://swift/v1/AUTH_a\r\n\
    X-Auth-Token-Expires: 3600\r\nContent-Length: 0\r\n\r\n";

/// Much less than the time for which a request is retried.
const SOON: Duration = Duration::from_secs(60);

/// Starts a server whose certificate comes from an unknown authority. Returns its URL and the authority's file.
async fn server() -> (String, NamedTempFile) {
    signed_by(|_| {}).await
}

/// As [`server`], with another authority.
async fn signed_by(change: impl FnOnce(&mut CertificateParams)) -> (String, NamedTempFile) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut authority);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    (serve(&certificate, &key).await, pem(&authority.pem()))
}

/// Starts a server with a self-signed certificate as `openssl req -x509` makes it: it is marked as an authority's.
/// Returns its URL and the file of the certificate.
async fn self_signed(name: &str, change: impl FnOnce(&mut CertificateParams)) -> (String, NamedTempFile) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (serve(&certificate, &key).await, pem(&certificate.pem()))
}

fn pem(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

/// Starts a server with this certificate that grants tokens, and returns its URL.
async fn serve(certificate: &Certificate, key: &KeyPair) -> String {
    answering(certificate, key, GRANTED).await
}

/// Starts a server with this certificate and this answer, and returns its URL.
async fn answering(certificate: &Certificate, key: &KeyPair, answer: &'static [u8]) -> String {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();

    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://localhost:{}/auth/v1.0", listener.local_addr().unwrap().port());
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            // A client that doesn't trust the authority ends the connection here.
            let Ok(mut connection) = acceptor.accept(connection).await else { continue };
            assert_ne!(connection.read(&mut [0; 4096]).await.unwrap(), 0);
            connection.write_all(answer).await.unwrap();
        }
    });
    url
}

fn config(url: &str, more: &[(&str, &str)]) -> Config {
    let settings = [("ST_AUTH", url), ("ST_USER", "u"), ("ST_KEY", "k")];
    let settings = settings.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into()));
    Config::from_settings(&settings.collect::<HashMap<String, String>>()).unwrap()
}

fn client(url: &str, more: &[(&str, &str)]) -> Client {
    Client::new(config(url, more)).unwrap()
}

#[tokio::test]
async fn the_authority_that_is_given_is_trusted() {
    let (url, authority) = server().await;
    let client = client(&url, &[("OS_CACERT", authority.path().to_str().unwrap())]);
    assert_eq!(client.session().await.unwrap().storage_url.as_str(), "https://swift/v1/AUTH_a");
}

/// What is told about a certificate that isn't accepted, with `ca` as `OS_CACERT`.
async fn refusal(url: &str, ca: Option<&NamedTempFile>) -> String {
    let settings = ca.map(|file| ("OS_CACERT", file.path().to_str().unwrap()));
    let error = client(url, settings.as_slice()).session().await.unwrap_err();
    assert_eq!(error.hint(), None, "the address is right");
    crate::hint::text_and_hint(error.source().unwrap())
}

#[tokio::test]
async fn an_unknown_authority_is_an_error_that_says_what_to_do() {
    let ((url, _), (_, other)) = (server().await, server().await);
    let why = refusal(&url, None).await;
    assert!(why.starts_with("the server's certificate isn't trusted; set OS_CACERT to a file with"), "{why}");
    let why = refusal(&url, Some(&other)).await;
    assert!(why.contains("isn't trusted; add the certificate") && why.contains("OS_CACERT"), "{why}");
}

/// As for the OpenStack tools, which leave that to OpenSSL.
#[tokio::test]
async fn only_a_certificate_that_is_an_authoritys_and_valid_now_verifies_others() {
    let expired = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let future = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(3001, 1, 1);
    for (url, given) in [signed_by(expired).await, signed_by(future).await] {
        let why = refusal(&url, Some(&given)).await;
        assert!(
            why.contains("has expired, or isn't valid yet; put the authority's new certificate"),
            "{why}"
        );
    }
    for is_ca in [IsCa::ExplicitNoCa, IsCa::NoCa] {
        let (url, given) = signed_by(|params| params.is_ca = is_ca).await;
        let why = refusal(&url, Some(&given)).await;
        assert!(why.contains("isn't a CA certificate; put the certificate of the authority"), "{why}");
    }
}

#[tokio::test]
async fn a_valid_authority_counts_beside_its_expired_certificate() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    let of_authority = |end| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = rcgen::date_time_ymd(end, 1, 1);
        CertifiedIssuer::self_signed(params, KeyPair::from_pem(&key).unwrap()).unwrap()
    };
    let (old, new) = (of_authority(2001), of_authority(4096));
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let url = serve(&certificate.signed_by(&key, &old).unwrap(), &key).await;
    let both = pem(&format!("{}{}", old.pem(), new.pem()));
    client(&url, &[("OS_CACERT", both.path().to_str().unwrap())]).session().await.unwrap();
}

/// As in home-made setups, where both are `/CN=localhost`.
#[tokio::test]
async fn an_authority_with_the_name_of_its_server_is_trusted() {
    let named = |is_ca: IsCa| {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.is_ca = is_ca;
        params
    };
    let authority = named(IsCa::Ca(BasicConstraints::Unconstrained));
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = named(IsCa::NoCa).signed_by(&key, &authority).unwrap();
    let url = serve(&certificate, &key).await;
    let both = pem(&format!("{}{}", certificate.pem(), authority.pem()));
    client(&url, &[("OS_CACERT", both.path().to_str().unwrap())]).session().await.unwrap();
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_if_it_is_given() {
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::ExplicitNoCa, IsCa::NoCa] {
        let (url, given) = self_signed("localhost", |params| params.is_ca = is_ca).await;
        client(&url, &[("OS_CACERT", given.path().to_str().unwrap())]).session().await.unwrap();
    }
    let (url, _) = self_signed("localhost", |_| {}).await;
    let (_, other) = self_signed("localhost", |_| {}).await;
    let why = refusal(&url, Some(&other)).await;
    assert!(why.contains("isn't trusted; add the certificate") && why.contains("self-signed"), "{why}");
    assert!(refusal(&url, None).await.contains("or with this certificate itself if it is self-signed"));
}

#[tokio::test]
async fn name_and_time_of_a_self_signed_certificate_are_checked() {
    let (url, given) = self_signed("elsewhere", |_| {}).await;
    let why = refusal(&url, Some(&given)).await;
    assert!(
        why.starts_with("the server's certificate isn't for localhost; the certificate is for elsewhere: "),
        "{why}"
    );
    let (url, given) =
        self_signed("localhost", |params| params.not_after = rcgen::date_time_ymd(2001, 1, 1)).await;
    let why = refusal(&url, Some(&given)).await;
    assert!(
        why.contains("expired at 2001-01-01T00:00:00Z; renew it, or check this machine's clock"),
        "{why}"
    );
    let (url, given) =
        self_signed("localhost", |params| params.not_before = rcgen::date_time_ymd(3001, 1, 1)).await;
    let why = refusal(&url, Some(&given)).await;
    assert!(why.contains("isn't valid before 3001-01-01T00:00:00Z; check this machine's clock"), "{why}");
}

#[tokio::test]
async fn the_common_name_of_a_self_signed_certificate_counts_if_there_is_no_other() {
    for is_ca in [IsCa::Ca(BasicConstraints::Unconstrained), IsCa::ExplicitNoCa] {
        for (common_name, other_names, is_accepted) in
            [("LOCALHOST", &[][..], true), ("elsewhere", &[], false), ("localhost", &["elsewhere"], false)]
        {
            let (url, given) = self_signed("other", |params| {
                let names = other_names.iter().map(ToString::to_string);
                *params = CertificateParams::new(names.collect::<Vec<_>>()).unwrap();
                params.is_ca = is_ca;
                params.distinguished_name = DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, common_name);
            })
            .await;
            let client = client(&url, &[("OS_CACERT", given.path().to_str().unwrap())]);
            let is_ok = client.session().await.is_ok();
            assert_eq!(is_ok, is_accepted, "{common_name} {other_names:?} {is_ca:?}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_decoded_does_not_hide_the_others() {
    let (url, authority) = server().await;
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let file = pem(&format!("{odd}{}", fs::read_to_string(authority.path()).unwrap()));
    client(&url, &[("OS_CACERT", file.path().to_str().unwrap())]).session().await.unwrap();
}

#[tokio::test]
async fn https_to_a_server_without_tls_is_told_as_that_and_not_tried_again() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://localhost:{}/auth/v1.0", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let client = client(&url, &[]);
    let asked = tokio::time::timeout(SOON, client.session()).await;
    let error = asked.expect("it is tried again").unwrap_err();
    let why = crate::hint::text_and_hint(error.source().unwrap());
    assert!(why.contains("doesn't speak TLS") && why.contains("http://"), "{why}");
}

#[tokio::test]
async fn http_to_a_server_with_tls_is_told_as_that_and_not_tried_again() {
    let (url, _) = server().await;
    let client = client(&url.replace("https://", "http://"), &[]);
    let asked = tokio::time::timeout(SOON, client.session()).await;
    let error = asked.expect("it is tried again").unwrap_err();
    let why = crate::hint::text_and_hint(error.source().unwrap());
    assert!(why.contains("doesn't speak plain HTTP") && why.contains("https://"), "{why}");
}
