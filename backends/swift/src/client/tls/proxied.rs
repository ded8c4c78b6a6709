//! Proxies that speak TLS, and servers with TLS behind a proxy.

use std::{env, process::Command};

use tokio::net::TcpStream;

use super::*;
use crate::config::Proxies;

/// No server has this name: only a proxy can answer for it.
const NOWHERE: &str = "http://keystone.invalid/auth/v1.0";

/// The scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    url.strip_suffix("/auth/v1.0").unwrap()
}

/// A client that uses these proxies, and this file as `OS_CACERT`.
fn through(variables: &[(&str, &str)], url: &str, ca: Option<&NamedTempFile>) -> Client {
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let ca = ca.map(|file| ("OS_CACERT", file.path().to_str().unwrap()));
    let proxies = Some(Proxies::new(&variables.collect()));
    Client::new(Config { proxies, ..config(url, ca.as_slice()) }).unwrap()
}

async fn failure(client: &Client) -> String {
    let error = tokio::time::timeout(SOON, client.session()).await.expect("it is tried again").unwrap_err();
    crate::hint::text_and_hint(error.source().unwrap())
}

/// Starts a proxy that connects to the server that is asked for.
async fn tunnel() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            let length = client.read(&mut head).await.unwrap();
            let head = str::from_utf8(&head[..length]).unwrap();
            let server = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
            let mut server = TcpStream::connect(server).await.unwrap();
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    url
}

/// The system's certificates are those of `SSL_CERT_FILE`, which must be set before the process starts: the test is
/// also the program that it starts.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the process is told by its environment that it is the client")]
async fn a_proxy_with_tls_in_front_of_a_server_without_is_trusted_by_the_certificates_of_the_system() {
    const IS_CLIENT: &str = "SWIFT_TEST_IS_CLIENT";
    const NAME: &str =
        "a_proxy_with_tls_in_front_of_a_server_without_is_trusted_by_the_certificates_of_the_system";
    if env::var(IS_CLIENT).is_ok() {
        client(NOWHERE, &[]).session().await.unwrap();
        return;
    }
    let (proxy, authority) = server().await;
    let name = format!("{}::{NAME}", module_path!().split_once("::").unwrap().1);
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", &name]).env(IS_CLIENT, "").env("SSL_CERT_FILE", authority.path());
    process.env_remove("no_proxy").env_remove("NO_PROXY").env("http_proxy", origin(&proxy));
    let output = tokio::task::spawn_blocking(move || process.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[tokio::test]
async fn a_proxy_with_tls_is_trusted_by_the_authority_that_is_given() {
    let (proxy, authority) = server().await;
    let client = through(&[("http_proxy", origin(&proxy))], NOWHERE, Some(&authority));
    client.session().await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_said_to_be_that_of_the_proxy_or_the_server() {
    let ((proxy, _), (server, _)) = (server().await, server().await);
    let proxy = origin(&proxy);
    for (variable, url) in [("http_proxy", NOWHERE), ("HTTPS_PROXY", &server)] {
        let why = failure(&through(&[(variable, proxy)], url, None)).await;
        let of_proxy =
            format!("the certificate of the proxy {proxy} ({variable}) isn't trusted; set OS_CACERT");
        assert!(why.starts_with(&of_proxy), "{why}");
    }
    let why = failure(&through(&[("HTTPS_PROXY", &tunnel().await)], &server, None)).await;
    assert!(why.starts_with("the server's certificate isn't trusted; set OS_CACERT"), "{why}");
}

#[tokio::test]
async fn the_name_of_a_proxy_that_its_certificate_lacks_is_changed_in_its_variable() {
    let (proxy, given) = self_signed("elsewhere", |_| {}).await;
    let why = failure(&through(&[("all_proxy", origin(&proxy))], NOWHERE, Some(&given))).await;
    assert!(why.contains("(all_proxy) isn't for localhost; the certificate is for elsewhere: "), "{why}");
    assert!(why.contains("use such a name in all_proxy, or"), "{why}");
}

#[tokio::test]
async fn which_of_proxy_and_server_does_not_speak_tls_is_told() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let plain = format!("localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let proxy = format!("https://{plain}");
    let why = failure(&through(&[("http_proxy", &proxy)], NOWHERE, None)).await;
    assert!(why.starts_with(&format!("the proxy {proxy} (http_proxy) doesn't speak TLS")), "{why}");
    let server = format!("https://{plain}/auth/v1.0");
    let why = failure(&through(&[("https_proxy", &tunnel().await)], &server, None)).await;
    assert!(why.starts_with(&format!("https://{plain} doesn't speak TLS")), "{why}");
}

#[tokio::test]
async fn what_comes_through_a_tunnel_is_the_servers_answer() {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let given = pem(&certificate.pem());
    for (answer, told) in [
        ("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", "answered 407 Proxy Authentication Required"),
        ("HTTP/1.1 403 No\r\nX-Squid-Error: 0\r\nContent-Length: 0\r\n\r\n", "refused the credentials"),
    ] {
        let server = answering(&certificate, &key, answer.as_bytes()).await;
        let client = through(&[("https_proxy", &tunnel().await)], &server, Some(&given));
        let error = client.session().await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("{server} {told}")), "{error}");
    }
}
