//! Servers that are elsewhere: redirects, and a cached session whose cluster has moved.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::{Method, StatusCode};
use tokio::{net::TcpSocket, time::timeout};

use super::{Client, Request, SOON, answer, authenticating, config, serve};
use crate::{Error, Timeouts, hint::text_and_hint};

async fn head(client: &Client) -> Result<StatusCode, Error> {
    let sent = timeout(SOON, client.send(Request::object(Method::HEAD, "c", "a/b"))).await;
    sent.expect("it is tried again").map(|response| response.status)
}

#[tokio::test]
async fn a_redirect_of_swift_is_not_followed_and_the_setting_to_change_is_told() {
    for (location, to) in [
        ("https://new.example/swift/v1/AUTH_b/c/a/b", "https://new.example/swift/v1/AUTH_b"),
        ("https://login.example/?from=c", "https://login.example/?from=c"),
        ("/v2/c/a/b", "/v2"),
    ] {
        let asked = Arc::new(AtomicUsize::new(0));
        let requests = Arc::clone(&asked);
        let url = authenticating(move |_, _| {
            requests.fetch_add(1, SeqCst);
            answer("301 Moved Permanently", &format!("Location: {location}\r\n"), "")
        })
        .await;
        let error = head(&Client::new(config(&url)).unwrap()).await.unwrap_err();
        let told = text_and_hint(&error);
        assert!(told.contains("answered 301 Moved Permanently: it redirects to "), "{told}");
        assert!(told.contains(&format!("{to}; redirects aren't followed")), "{told}");
        assert!(told.ends_with("set OS_STORAGE_URL to that address"), "{told}");
        assert_eq!(asked.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn a_redirect_of_the_identity_service_is_not_followed_and_the_setting_to_change_is_told() {
    let url = serve(|head| {
        let path = head.split(' ').nth(1).unwrap();
        answer("302 Found", &format!("Location: https://new.example{path}\r\n"), "")
    })
    .await;
    let keystone =
        [("OS_AUTH_URL", "/v3"), ("OS_USERNAME", "u"), ("OS_PASSWORD", "p"), ("OS_PROJECT_NAME", "p")];
    let v1 = [("ST_AUTH", "/auth/v1.0"), ("ST_USER", "u"), ("ST_KEY", "k")];
    for (settings, to, setting) in [
        (&keystone[..], "https://new.example/v3", "OS_AUTH_URL"),
        (&v1, "https://new.example/auth/v1.0", "ST_AUTH (or OS_AUTH_URL)"),
    ] {
        let value = |(name, value): &(&str, &str)| match value.starts_with('/') {
            true => ((*name).to_owned(), format!("{url}{value}")),
            false => ((*name).to_owned(), (*value).to_owned()),
        };
        let config = crate::Config::from_settings(&settings.iter().map(value).collect()).unwrap();
        let error = Client::new(config).unwrap().session().await.unwrap_err();
        let told = text_and_hint(&*error);
        assert!(told.contains(&format!("answered 302 Found: it redirects to {to}; ")), "{told}");
        assert!(told.ends_with(&format!("set {setting} to that address")), "{told}");
    }
}

/// A version 1 service whose storage URL can be changed, and the number of tokens that it has granted.
async fn identity() -> (String, Arc<Mutex<String>>, Arc<AtomicUsize>) {
    let (storage, granted) = (Arc::new(Mutex::new(String::new())), Arc::new(AtomicUsize::new(0)));
    let (at, count) = (Arc::clone(&storage), Arc::clone(&granted));
    let url = serve(move |_| {
        count.fetch_add(1, SeqCst);
        let at = at.lock().unwrap();
        answer("200 OK", &format!("X-Auth-Token: t\r\nX-Storage-Url: {at}/v1/AUTH_a\r\n"), "")
    })
    .await;
    (url, storage, granted)
}

/// An address at which nothing listens as long as the socket exists: no other test gets the port.
fn nowhere() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test]
async fn a_cached_session_whose_storage_url_leads_nowhere_is_asked_for_anew_once() {
    let new = serve(|_| answer("204 No Content", "", "")).await;
    let redirecting =
        serve(|_| answer("301 Moved Permanently", "Location: https://127.0.0.1/\r\n", "")).await;
    let with_tls = serve(|_| answer("400 Bad Request", "", "")).await;
    let not_http = serve(|_| "\x15\x03\x01\0\x02\x02\x46".to_owned()).await;
    let (_socket, nobody) = nowhere();
    for old in [nobody.clone(), redirecting, with_tls, not_http] {
        let (url, storage, granted) = identity().await;
        let directory = tempfile::tempdir().unwrap();
        let process = || {
            let timeouts = Timeouts { retry: std::time::Duration::ZERO, ..Timeouts::default() };
            let config = config(&url).with_timeouts(timeouts);
            Client::new(config.with_token_cache(directory.path().join("tokens"))).unwrap()
        };
        *storage.lock().unwrap() = old.clone();
        process().session().await.unwrap();

        let unmoved = process();
        for _ in 0..2 {
            drop(head(&unmoved).await);
        }
        assert_eq!(granted.load(SeqCst), 2, "{old}: it is asked once whether the storage has moved");

        *storage.lock().unwrap() = new.clone();
        if old == nobody {
            process().info().await.unwrap();
        }
        assert_eq!(head(&process()).await.unwrap(), StatusCode::NO_CONTENT, "{old}");
        assert_eq!(head(&process()).await.unwrap(), StatusCode::NO_CONTENT, "{old}");
        assert_eq!(granted.load(SeqCst), 3, "{old}: the new session is in the cache");
    }
}

#[tokio::test]
async fn an_identity_service_that_is_down_is_told_with_the_setting_of_its_address() {
    let (_socket, nobody) = nowhere();
    let timeouts = Timeouts { retry: std::time::Duration::ZERO, ..Timeouts::default() };
    let client = Client::new(config(&nobody).with_timeouts(timeouts)).unwrap();
    let told = text_and_hint(&*client.session().await.unwrap_err());
    assert_eq!(told, format!("no answer from {nobody}/auth; check ST_AUTH (or OS_AUTH_URL)"));
}

#[tokio::test]
async fn a_server_that_was_waited_for_to_give_its_limits_is_not_waited_for_again() {
    let (url, storage, _) = identity().await;
    let (_socket, nobody) = nowhere();
    *storage.lock().unwrap() = nobody;
    let client = Client::new(config(&url)).unwrap();
    client.session().await.unwrap();
    // What is waited for passes at once.
    tokio::time::pause();
    client.info().await.unwrap();
    assert_eq!(head(&client).await.unwrap_err().tries(), 1);
}
