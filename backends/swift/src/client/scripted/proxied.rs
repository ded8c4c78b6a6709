//! Requests through a proxy.

use std::{
    collections::HashMap,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{Client, SOON, answer, config, serve};
use crate::{Config, Timeouts, config::Proxies, hint::text_and_hint};

const GRANTED: &str = "X-Auth-Token: t\r\nX-Storage-Url: http://swift/v1/AUTH_a\r\n";

/// A client of the identity service at `url`, with these variables in its environment.
fn client(url: &str, variables: &[(&str, &str)]) -> Client {
    Client::new(proxied(url, variables)).unwrap()
}

/// As [`client`], for failures that would be tried again.
fn trying_once(url: &str, variables: &[(&str, &str)]) -> Client {
    let timeouts = Timeouts { retry: Duration::ZERO, ..Timeouts::default() };
    Client::new(proxied(url, variables).with_timeouts(timeouts)).unwrap()
}

fn proxied(url: &str, variables: &[(&str, &str)]) -> Config {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let proxies = Proxies::new(&variables.collect::<HashMap<_, _>>());
    Config { proxies: Some(proxies), ..config(url) }
}

async fn failure(client: &Client) -> String {
    let error = timeout(SOON, client.session()).await.expect("it is tried again").unwrap_err();
    format!("{}: {}", text_and_hint(&*error), text_and_hint(error.source().unwrap()))
}

#[tokio::test]
async fn a_request_goes_through_the_proxy_unless_its_host_is_excepted() {
    let through = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&through);
    let proxy = serve(move |head| {
        assert!(head.starts_with("get http://127.0.0.1:"), "{head}");
        count.fetch_add(1, SeqCst);
        answer("200 OK", GRANTED, "")
    })
    .await;
    let direct = serve(|_| answer("200 OK", GRANTED, "")).await;
    client(&direct, &[("http_proxy", &proxy)]).session().await.unwrap();
    assert_eq!(through.load(SeqCst), 1);
    client(&direct, &[("http_proxy", &proxy), ("NO_PROXY", "a 127.0.0.0/8")]).session().await.unwrap();
    assert_eq!(through.load(SeqCst), 1);
}

/// The text of the error below the one that names the proxy.
async fn cause(client: &Client) -> String {
    let error = client.session().await.unwrap_err();
    error.source().and_then(Error::source).unwrap().to_string()
}

/// Fails with an error that names the proxy, and returns its cause.
async fn failure_of(proxy: &str, variable: &str, client: &Client) -> String {
    let failure = failure(client).await;
    assert!(failure.contains(&format!("the proxy {proxy} ({variable}) failed")), "{failure}");
    assert!(failure.contains(&format!("check {variable}, or name the host in NO_PROXY")), "{failure}");
    assert!(!failure.contains("check OS_AUTH_URL"), "{failure}");
    cause(client).await
}

#[tokio::test]
async fn an_error_of_a_proxy_names_it_and_its_variable() {
    const STATUS: &str = "Proxy-Status: a; next-hop=\"k;\", b; details=\"x\"; error=dns_error\r\n";
    let squid = serve(|_| answer("503 Service Unavailable", "X-Squid-Error: ERR_DNS_FAIL 0\r\n", "")).await;
    let status = serve(|_| answer("502 Bad Gateway", STATUS, "")).await;
    let dead = "http://127.0.0.1:1".to_owned();
    for (proxy, of_http, of_https) in [
        (&dead, "Connection refused", "Connection refused"),
        (&squid, "answered 503 Service Unavailable", "tunnel"),
        (&status, "answered 502 Bad Gateway", "tunnel"),
    ] {
        let client = trying_once("http://keystone.invalid", &[("http_proxy", proxy)]);
        let cause = failure_of(proxy, "http_proxy", &client).await;
        assert!(cause.starts_with(of_http), "{cause}");
        let client = trying_once("https://keystone.invalid", &[("HTTPS_PROXY", proxy)]);
        let cause = failure_of(proxy, "HTTPS_PROXY", &client).await;
        assert!(cause.contains(of_https), "{cause}");
    }
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_password_is_not_asked_again() {
    let proxy = serve(|_| answer("407 Proxy Authentication Required", "", "")).await;
    let through = client("http://keystone.invalid", &[("http_proxy", &proxy)]);
    let cause = failure_of(&proxy, "http_proxy", &through).await;
    assert_eq!(cause, "answered 407 Proxy Authentication Required");
    let through = client("https://keystone.invalid", &[("HTTPS_PROXY", &proxy)]);
    let cause = failure_of(&proxy, "HTTPS_PROXY", &through).await;
    assert!(cause.contains("proxy authorization required"), "{cause}");
}

#[tokio::test]
async fn an_answer_that_a_proxy_has_only_forwarded_is_the_servers() {
    for headers in ["Proxy-Status: p; received-status=503\r\n", "Proxy-Status: q; error=dns_error, p\r\n"] {
        let proxy = serve(move |_| answer("503 Service Unavailable", headers, "")).await;
        let client = trying_once("http://keystone.invalid", &[("http_proxy", &proxy)]);
        let error = client.session().await.unwrap_err().to_string();
        assert_eq!(error, "http://keystone.invalid/auth answered 503 Service Unavailable");
    }
}

/// A gateway of the storage may have the same header.
#[tokio::test]
async fn an_answer_that_means_something_to_the_client_is_the_servers() {
    const STATUS: &str = "Proxy-Status: gateway; error=http_request_error\r\n";
    let proxy = serve(|_| answer("404 Not Found", STATUS, "")).await;
    let client = trying_once("http://keystone.invalid", &[("http_proxy", &proxy)]);
    let error = client.session().await.unwrap_err().to_string();
    assert!(error.starts_with("http://keystone.invalid/auth answered 404 Not Found"), "{error}");
}

#[tokio::test]
async fn a_variable_without_an_address_of_a_proxy_is_named_and_its_value_is_not_shown() {
    let client = client("http://keystone.invalid", &[("ALL_PROXY", "socks5://me:hunter2@h")]);
    let failure = failure(&client).await;
    assert!(failure.contains("the proxy of ALL_PROXY failed") && !failure.contains("hunter2"), "{failure}");
}
