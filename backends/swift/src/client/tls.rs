//! TLS between real endpoints: certificates that the test creates, and a server that answers a version 1 token request.

use std::{collections::HashMap, error::Error, fs, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
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
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
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
            connection.write_all(GRANTED).await.unwrap();
        }
    });
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), authority.pem()).unwrap();
    (url, file)
}

fn client(url: &str, more: &[(&str, &str)]) -> Client {
    let settings = [("ST_AUTH", url), ("ST_USER", "u"), ("ST_KEY", "k")];
    let settings = settings.iter().chain(more).map(|(name, value)| ((*name).into(), (*value).into()));
    Client::new(Config::from_settings(&settings.collect::<HashMap<String, String>>()).unwrap()).unwrap()
}

#[tokio::test]
async fn the_authority_that_is_given_is_trusted() {
    let (url, authority) = server().await;
    let client = client(&url, &[("OS_CACERT", authority.path().to_str().unwrap())]);
    assert_eq!(client.session().await.unwrap().storage_url.as_str(), "https://swift/v1/AUTH_a");
}

#[tokio::test]
async fn an_unknown_authority_is_an_error_that_says_what_to_do() {
    let (url, _) = server().await;
    let (_, other) = server().await;
    for settings in [&[][..], &[("OS_CACERT", other.path().to_str().unwrap())]] {
        let error = client(&url, settings).session().await.unwrap_err();
        let why = crate::hint::text_and_hint(error.source().unwrap());
        assert!(why.contains("isn't trusted") && why.contains("OS_CACERT"), "{why}");
    }
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
