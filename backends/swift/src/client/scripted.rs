//! Responses that a real Swift can't be made to give at the right moment: a server on the loopback interface gives
//! them.

mod acknowledged;
mod create_only;
mod elsewhere;
mod limits;
mod listings;
mod proxied;
mod radosgw;
mod reading;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Client, Request};
use crate::{Config, Swift, SwiftBuilder, Timeouts, dialect::server::SWIFT};

/// Longer than anything in these tests takes, and shorter than the time for which a request is retried.
const SOON: Duration = Duration::from_secs(60);

/// An answer that breaks off: the connection is closed.
const BROKEN_OFF: &str = "";

/// An answer that never ends: the connection remains open.
const UNFINISHED: &str = "HTTP/1.1 ";

/// Starts a server that answers each request with what `answer` returns for its head: a status line and headers,
/// perhaps with a body.
async fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            tokio::spawn(async move { converse(connection, &*answer).await });
        }
    });
    url
}

/// Returns when the connection is closed.
async fn converse(mut connection: TcpStream, answer: &(dyn Fn(&str) -> String + Send + Sync)) {
    let mut read = Vec::new();
    loop {
        let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
            match connection.read_buf(&mut read).await {
                Ok(1..) => continue,
                _ => return,
            }
        };
        let head = String::from_utf8(read.drain(..end + 4).collect()).unwrap().to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        while read.len() < length.unwrap_or(0) {
            if connection.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        read.drain(..length.unwrap_or(0));
        let answer = answer(&head);
        if answer == BROKEN_OFF || connection.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// A response to a HEAD, whose headers contain the length that a GET would have.
fn head(status: &str, headers: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}\r\n")
}

/// The response to a PUT of an object, whose tag is in the request.
fn created(head: &str) -> String {
    let tag = head.lines().find(|line| line.starts_with("etag: ")).unwrap();
    answer("201 Created", &format!("{tag}\r\n"), "")
}

/// The header by which a server is recognised.
fn id(trans_id: &str) -> String {
    format!("X-Trans-Id: {trans_id}\r\n")
}

fn config(url: &str) -> Config {
    let url = format!("{url}/auth");
    let settings = [("ST_AUTH", url.as_str()), ("ST_USER", "u"), ("ST_KEY", "k")];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Config::from_settings(&HashMap::from(settings)).unwrap()
}

/// Grants the tokens `t1`, `t2` and so on for an account on the same server, and passes other requests to `answer` with
/// the number of their token.
async fn authenticating(answer: impl Fn(usize, &str) -> String + Send + Sync + 'static) -> String {
    let given = AtomicUsize::new(0);
    serve(move |head| {
        if head.starts_with("get /auth ") {
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            let token = given.fetch_add(1, SeqCst) + 1;
            let headers = format!("X-Auth-Token: t{token}\r\nX-Storage-Url: http://{host}/v1/AUTH_a\r\n");
            return self::answer("200 OK", &headers, "");
        }
        let token = head.lines().find_map(|line| line.strip_prefix("x-auth-token: t")?.parse().ok());
        answer(token.unwrap_or(0), head)
    })
    .await
}

#[tokio::test]
async fn a_renewed_token_that_dies_too_is_renewed_too() {
    let url = authenticating(|token, _| match token {
        0..4 => answer("401 Unauthorized", "", ""),
        _ => answer("204 No Content", "", ""),
    })
    .await;
    let client = Client::new(config(&url)).unwrap();
    let sent = timeout(SOON, client.send(Request::new(Method::HEAD, "c"))).await;
    let response = sent.expect("it repeats the token that was refused").unwrap();
    assert_eq!(response.status, StatusCode::NO_CONTENT);
    assert_eq!(client.session().await.unwrap().token.expose(), "t4");
}

#[tokio::test]
async fn a_try_that_the_end_of_the_time_interrupts_reports_the_failure_before_it() {
    let asked = AtomicUsize::new(0);
    let url = authenticating(move |_, _| match asked.fetch_add(1, SeqCst) {
        0 => answer("503 Service Unavailable", "", ""),
        _ => UNFINISHED.to_owned(),
    })
    .await;
    let timeouts = Timeouts { retry: Duration::from_secs(1), ..Timeouts::default() };
    let client = Client::new(config(&url).with_timeouts(timeouts)).unwrap();
    let sent = timeout(SOON, client.send(Request::new(Method::HEAD, "c"))).await;
    let error = sent.expect("it waits until its time is used up").err().unwrap();
    assert_eq!(error.status(), Some(StatusCode::SERVICE_UNAVAILABLE), "{error}");
}

/// As with a suspended user of radosgw, who still gets tokens.
#[tokio::test]
async fn a_token_that_the_end_of_the_time_leaves_no_time_to_renew_is_reported_as_refused() {
    let granted = AtomicUsize::new(0);
    let url = serve(move |head| {
        let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let session = format!("X-Auth-Token: t\r\nX-Storage-Url: http://{host}/v1/AUTH_a\r\n");
        match head {
            _ if !head.starts_with("get /auth ") => answer("401 Unauthorized", "", ""),
            _ if granted.fetch_add(1, SeqCst) < 2 => answer("200 OK", &session, ""),
            _ => UNFINISHED.to_owned(),
        }
    })
    .await;
    let timeouts = Timeouts { retry: Duration::from_secs(1), ..Timeouts::default() };
    let client = Client::new(config(&url).with_timeouts(timeouts)).unwrap();
    let sent = timeout(SOON, client.send(Request::new(Method::HEAD, "c"))).await;
    let error = sent.expect("it waits until its time is used up").err().unwrap();
    assert_eq!(error.status(), Some(StatusCode::UNAUTHORIZED), "{error}");
}

#[tokio::test]
async fn after_an_outage_that_took_all_the_time_for_retries_the_next_request_is_tried_once() {
    let is_up = Arc::new(AtomicUsize::new(0));
    let up = Arc::clone(&is_up);
    let url = authenticating(move |_, _| match up.load(SeqCst) {
        0 => answer("503 Service Unavailable", "", ""),
        _ => answer("204 No Content", "", ""),
    })
    .await;
    let client = Client::new(config(&url)).unwrap();
    let send = || client.send(Request::new(Method::HEAD, "c"));
    client.session().await.unwrap();
    // What is waited for passes at once.
    tokio::time::pause();
    assert!(send().await.err().unwrap().tries() > 1);
    assert_eq!(send().await.err().unwrap().tries(), 1);
    tokio::time::resume();
    is_up.store(1, SeqCst);
    send().await.unwrap();
    is_up.store(0, SeqCst);
    tokio::time::pause();
    assert!(send().await.err().unwrap().tries() > 1);
}

fn swift(url: &str) -> Swift {
    SwiftBuilder::new("c").with_config(config(url)).with_policy("silver").with_create(true).build().unwrap()
}

/// The tag of the segments `abcd` and `efgh`.
const EIGHT_BYTES: &str = "3c461f589cb433d96525f21b13081eae";

async fn create_eight_bytes(swift: &Swift) {
    let (name, options) = (Path::from("a"), PutOptions::from(PutMode::Create));
    let put = timeout(SOON, swift.put_opts(&name, PutPayload::from("abcdefgh"), options)).await;
    put.expect("it is tried again").unwrap();
}

#[tokio::test]
async fn a_policy_that_the_cluster_does_not_have_is_named_with_those_that_it_has() {
    let url = authenticating(|_, head| match head {
        _ if head.starts_with("get /info") => {
            answer("200 OK", "", r#"{"swift": {"policies": [{"name": "gold"}, {"name": "ec42"}]}}"#)
        }
        _ if head.starts_with("put /v1/auth_a/c ") => {
            answer("400 Bad Request", "", "Invalid X-Storage-Policy 'silver'")
        }
        _ => answer("404 Not Found", "", ""),
    })
    .await;
    let error = swift(&url).put(&Path::from("a"), PutPayload::from("a")).await.unwrap_err();
    let message = crate::hint::text_and_hint(std::error::Error::source(&error).unwrap());
    assert!(message.contains("'silver'") && message.contains("gold, ec42"), "{message}");
}

/// The container of the manifest is missing, not the one of the segments, which the upload of the segments has created.
#[tokio::test]
async fn a_manifest_waits_until_the_proxies_know_of_its_container() {
    let (made, looks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let url = authenticating(move |_, head| {
        let report = |status: &str| {
            let body = format!(r#"{{"Response Status": "{status}", "Etag": "{EIGHT_BYTES}", "Errors": []}}"#);
            answer("202 Accepted", "Content-Type: application/json\r\n", &body)
        };
        match head {
            _ if head.starts_with("get /info") => {
                answer("200 OK", "", r#"{"swift": {"max_file_size": 4}, "slo": {}}"#)
            }
            _ if head.starts_with("put /v1/auth_a/c ") => {
                made.fetch_add(1, SeqCst);
                answer("201 Created", "", "")
            }
            _ if head.starts_with("head /v1/auth_a/c ") && made.load(SeqCst) > 0 => {
                answer("204 No Content", "", "")
            }
            _ if head.contains("multipart-manifest=put") => match looks.fetch_add(1, SeqCst) {
                0..4 => report("404 Not Found"),
                _ => report("201 Created"),
            },
            _ if head.starts_with("put /v1/auth_a/c_segments/") => created(head),
            _ => answer("404 Not Found", &id(SWIFT), ""),
        }
    })
    .await;
    let swift = swift(&url);
    swift.0.handles.containers.client.info().await.unwrap();
    create_eight_bytes(&swift).await;
}

#[tokio::test]
async fn what_a_cluster_finds_too_long_is_stored_as_a_large_object() {
    let url = authenticating(|_, head| match head {
        _ if head.starts_with("get /info") => {
            answer("200 OK", "", r#"{"swift": {"max_file_size": 4}, "slo": {}}"#)
        }
        _ if head.contains("multipart-manifest=put") => {
            let report =
                format!(r#"{{"Response Status": "201 Created", "Etag": "{EIGHT_BYTES}", "Errors": []}}"#);
            answer("202 Accepted", "Content-Type: application/json\r\n", &report)
        }
        _ if head.starts_with("put /") && head.contains("content-length: 4\r\n") => created(head),
        _ if head.starts_with("put /") => answer("413 Request Entity Too Large", "", ""),
        _ => answer("404 Not Found", &id(SWIFT), ""),
    })
    .await;
    create_eight_bytes(&swift(&url)).await;
}

#[tokio::test]
async fn the_servers_time_is_that_of_an_answer_that_came_anyway() {
    let heads = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&heads);
    let url = authenticating(move |_, head| {
        asked.fetch_add(usize::from(head.starts_with("head ")), SeqCst);
        answer("404 Not Found", "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n", "")
    })
    .await;
    let swift = SwiftBuilder::new("c").with_config(config(&url)).build().unwrap();
    let servers = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for _ in 0..2 {
        let time = swift.server_time().await.unwrap();
        assert!((servers..servers + SOON).contains(&time), "{time:?}");
        assert_eq!(heads.load(SeqCst), 1);
    }
}
