//! Requests through a proxy.

use std::{
    collections::HashMap,
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

/// A client of the identity service at `url`, which makes one try, with these variables in its environment.
fn client(url: &str, variables: &[(&str, &str)]) -> Client {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let proxies = Proxies::new(&variables.collect::<HashMap<_, _>>());
    let timeouts = Timeouts { retry: Duration::ZERO, ..Timeouts::default() };
    Client::new(Config { proxies: Some(proxies), ..config(url) }.with_timeouts(timeouts)).unwrap()
}

async fn failure(client: &Client) -> String {
    let error = timeout(SOON, client.session()).await.expect("it is tried again").unwrap_err();
    format!("{}: {}", text_and_hint(&*error), text_and_hint(std::error::Error::source(&*error).unwrap()))
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

#[tokio::test]
async fn an_error_of_a_proxy_names_it_and_its_variable() {
    let password = serve(|_| answer("407 Proxy Authentication Required", "", "")).await;
    let squid = serve(|_| answer("503 Service Unavailable", "X-Squid-Error: ERR_DNS_FAIL 0\r\n", "")).await;
    let dead = "http://127.0.0.1:1".to_owned();
    for (proxy, told) in [
        (&dead, ": Connection refused"),
        (&password, ": answered 407 Proxy Authentication Required"),
        (&squid, ": answered 503 Service Unavailable"),
    ] {
        let client = client("http://keystone.invalid", &[("http_proxy", proxy)]);
        let failure = failure(&client).await;
        assert!(failure.contains(&format!("the proxy {proxy} (http_proxy) failed")), "{failure}");
        assert!(failure.contains("check http_proxy, or name the host in NO_PROXY"), "{failure}");
        assert!(!failure.contains("check OS_AUTH_URL"), "{failure}");
        let cause = std::error::Error::source(&*client.session().await.unwrap_err())
            .unwrap()
            .source()
            .unwrap()
            .to_string();
        assert!(format!(": {cause}").starts_with(told), "{cause}");
    }
    for (proxy, told) in [(&dead, "Connection refused"), (&password, "proxy"), (&squid, "tunnel")] {
        let client = client("https://keystone.invalid", &[("HTTPS_PROXY", proxy)]);
        let failure = failure(&client).await;
        assert!(failure.contains(&format!("the proxy {proxy} (HTTPS_PROXY) failed")), "{failure}");
        let cause = std::error::Error::source(&*client.session().await.unwrap_err())
            .unwrap()
            .source()
            .unwrap()
            .to_string();
        assert!(cause.contains(told), "{cause}");
    }
}

#[tokio::test]
async fn a_variable_without_an_address_of_a_proxy_is_named_and_its_value_is_not_shown() {
    let client = client("http://keystone.invalid", &[("ALL_PROXY", "socks5://me:hunter2@h")]);
    let failure = failure(&client).await;
    assert!(failure.contains("the proxy of ALL_PROXY failed") && !failure.contains("hunter2"), "{failure}");
}
