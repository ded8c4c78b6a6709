//! `/info` that isn't answered, and limits that are found out before anything is stored.

use std::time::Instant;

use tokio::sync::Notify;

use super::*;
use crate::{dialect::server::RADOSGW, target::Target};

/// A store that makes one try of each request.
fn trying_once(url: &str) -> Swift {
    let timeouts = Timeouts { retry: Duration::ZERO, ..Timeouts::default() };
    SwiftBuilder::new("c").with_config(config(url).with_timeouts(timeouts)).build().unwrap()
}

/// A server that stores segments and counts them, and answers a request for the limits with `info`.
async fn storing(info: impl Fn() -> String + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let stored = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&stored);
    let url = authenticating(move |_, head| match head {
        _ if head.starts_with("get /info") => info(),
        _ if head.contains("multipart-manifest=put") => {
            let report = format!(r#"{{"Response Status": "201 Created", "Etag": "{EIGHT_BYTES}"}}"#);
            answer("202 Accepted", "Content-Type: application/json\r\n", &report)
        }
        _ if head.starts_with("put /v1/auth_a/c_segments/") => {
            count.fetch_add(1, SeqCst);
            created(head)
        }
        _ => answer("404 Not Found", "", ""),
    })
    .await;
    (url, stored)
}

async fn upload_two_parts(swift: &Swift) {
    let mut upload = swift.put_multipart(&Path::from("a")).await.unwrap();
    for part in ["abcd", "efgh"] {
        upload.put_part(part.into()).await.unwrap();
    }
    upload.complete().await.unwrap();
}

#[tokio::test]
async fn limits_that_are_not_given_are_assumed_and_an_upload_completes() {
    for info in [
        BROKEN_OFF.to_owned(),
        answer("502 Bad Gateway", "", ""),
        answer("404 Not Found", "", ""),
        answer("200 OK", "", "<html>"),
        answer("200 OK", "", &" ".repeat(2 << 20)),
        answer("302 Found", "Location: https://login.example/\r\n", ""),
        "not HTTP".to_owned(),
    ] {
        let (url, stored) = storing(move || info.clone()).await;
        upload_two_parts(&trying_once(&url)).await;
        assert_eq!(stored.load(SeqCst), 2);
    }
}

#[tokio::test]
async fn limits_that_are_never_answered_are_assumed_and_an_upload_completes() {
    let asked = Arc::new(Notify::new());
    let notify = Arc::clone(&asked);
    let (url, stored) = storing(move || {
        notify.notify_one();
        UNFINISHED.to_owned()
    })
    .await;
    let swift = trying_once(&url);
    let pass_time = async {
        asked.notified().await;
        tokio::time::pause();
        tokio::time::advance(Timeouts::default().silence).await;
        tokio::time::resume();
    };
    tokio::join!(upload_two_parts(&swift), pass_time);
    assert_eq!(stored.load(SeqCst), 2);
}

#[tokio::test]
async fn limits_that_are_not_given_are_waited_for_once_and_not_for_each_deletion() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let (url, _) = storing(move || {
        count.fetch_add(1, SeqCst);
        BROKEN_OFF.to_owned()
    })
    .await;
    let swift = trying_once(&url);
    let targets = ["a", "b"].map(|name| Target::new("c", name));
    for _ in 0..2 {
        let deleted = swift.0.handles.deletion.delete_all(&targets).await;
        assert!(deleted.into_iter().all(|deleted| deleted.is_ok()));
    }
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn limits_that_were_assumed_are_asked_for_by_the_next_process_and_those_that_were_given_are_not() {
    let refusals =
        [answer("404 Not Found", "", ""), answer("200 OK", "", "<html>"), answer("301 Moved", "", "")];
    let asked = Arc::new(AtomicUsize::new(0));
    let (count, answers) = (Arc::clone(&asked), refusals.len());
    let (url, _) = storing(move || {
        let given = || answer("200 OK", "", r#"{"swift": {"max_file_size": 7}}"#);
        refusals.get(count.fetch_add(1, SeqCst)).cloned().unwrap_or_else(given)
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let process = || Client::new(config(&url).with_token_cache(directory.path().join("tokens"))).unwrap();
    for _ in 0..answers {
        assert_eq!(process().info().await.unwrap(), crate::dialect::Info::default());
    }
    for _ in 0..2 {
        assert_eq!(process().info().await.unwrap().max_file_size, 7);
    }
    assert_eq!(asked.load(SeqCst), answers + 1);
}

#[tokio::test]
async fn a_payload_that_is_refused_as_too_long_does_not_wait_for_limits_that_are_not_given() {
    let url = authenticating(|_, head| match head {
        _ if head.starts_with("get /info") => answer("503 Service Unavailable", "", ""),
        _ if head.starts_with("put ") => answer("413 Request Entity Too Large", "", "over quota"),
        _ => answer("404 Not Found", &id(SWIFT), ""),
    })
    .await;
    let swift = swift(&url);
    let put = timeout(SOON, swift.put(&Path::from("a"), PutPayload::from("a"))).await;
    let error = put.expect("it doesn't wait").unwrap_err();
    assert!(format!("{error:?}").contains("over quota"), "{error:?}");
}

#[tokio::test]
async fn limits_that_are_not_given_at_once_are_not_waited_for_where_that_is_wanted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let unavailable = move || {
        count.fetch_add(1, SeqCst);
        answer("503 Service Unavailable", "", "")
    };
    let (url, _) = storing(unavailable).await;
    let swift = swift(&url);
    for _ in 0..2 {
        assert_eq!(timeout(SOON, swift.shortest_part()).await.expect("it doesn't wait").unwrap(), 1);
    }
    assert_eq!(asked.load(SeqCst), 1);
}

#[tokio::test]
async fn that_there_are_no_large_objects_is_found_out_before_the_first_segment() {
    let (url, stored) = storing(|| answer("200 OK", "", r#"{"swift": {}}"#)).await;
    let mut upload = swift(&url).put_multipart(&Path::from("a")).await.unwrap();
    let error = upload.put_part("abcd".into()).await.unwrap_err();
    assert!(error.to_string().contains("doesn't support static large objects"), "{error}");
    assert_eq!(stored.load(SeqCst), 0);
}

#[tokio::test]
async fn more_segments_than_one_manifest_can_name_are_refused_before_they_are_stored_where_none_is_nested() {
    let id = format!("X-Trans-Id: {RADOSGW}\r\n");
    let info = move || answer("200 OK", &id, r#"{"slo": {"max_manifest_segments": 2}}"#);
    let (url, stored) = storing(info).await;
    let mut upload = swift(&url).put_multipart(&Path::from("a")).await.unwrap();
    for part in ["abcd", "efgh"] {
        upload.put_part(part.into()).await.unwrap();
    }
    let error = upload.put_part("i".into()).await.unwrap_err();
    assert!(error.to_string().contains("more than 2 segments"), "{error}");
    assert_eq!(stored.load(SeqCst), 2);
}

#[tokio::test]
async fn a_part_that_is_cut_into_segments_counts_as_many() {
    let id = format!("X-Trans-Id: {RADOSGW}\r\n");
    let info = r#"{"swift": {"max_file_size": 4}, "slo": {"max_manifest_segments": 3}}"#;
    let (url, stored) = storing(move || answer("200 OK", &id, info)).await;
    let swift = swift(&url);
    for (part_bytes, parts) in [(1, 3), (4, 3), (5, 1), (13, 0)] {
        assert_eq!(swift.most_parts(part_bytes).await.unwrap(), Some(parts), "{part_bytes}");
    }
    let mut upload = swift.put_multipart(&Path::from("a")).await.unwrap();
    upload.put_part("abcdefgh".into()).await.unwrap();
    let error = upload.put_part("ijklmnop".into()).await.unwrap_err();
    assert!(error.to_string().contains("more than 3 segments"), "{error}");
    assert_eq!(stored.load(SeqCst), 2);
}

/// A server with the dynamic large object `d`, whose segments are `ab`, `cd` and `ef`, and with these limits.
async fn with_three_segments(info: &'static str) -> (Swift, Arc<AtomicUsize>) {
    let copied = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&copied);
    let id = format!("X-Trans-Id: {RADOSGW}\r\nLast-Modified: Tue, 14 Nov 2023 22:13:20 GMT\r\n");
    let url = authenticating(move |_, head| match head {
        _ if head.starts_with("get /info") => answer("200 OK", &id, info),
        _ if head.starts_with("get /v1/auth_a/s?") && head.contains("marker=") => answer("200 OK", &id, "[]"),
        _ if head.starts_with("get /v1/auth_a/s?") => {
            let row = |number| {
                let date = "2023-11-14T22:13:20.500Z";
                format!(r#"{{"name":"d/{number}","hash":"aa","bytes":2,"last_modified":"{date}"}}"#)
            };
            answer("200 OK", &id, &format!("[{},{},{}]", row(1), row(2), row(3)))
        }
        _ if head.contains(" /v1/auth_a/c/d ") => {
            let large = format!("{id}X-Object-Manifest: s/d/\r\nETag: \"dd\"\r\n");
            match head.starts_with("head ") {
                true => self::head("200 OK", &format!("{large}Content-Length: 6\r\n")),
                false => {
                    answer("206 Partial Content", &format!("{large}Content-Range: bytes 0-5/6\r\n"), "abcdef")
                }
            }
        }
        _ if head.contains("x-copy-from") => {
            count.fetch_add(1, SeqCst);
            answer("403 Forbidden", &id, "")
        }
        // The tag of a large object with the segment `abcdef`.
        _ if head.contains("multipart-manifest=put") => {
            answer("201 Created", &format!("{id}ETag: \"0962e1aed115aeec2ecc398ba3df40b9\"\r\n"), "")
        }
        _ if head.starts_with("put ") => created(head),
        _ => answer("404 Not Found", &id, ""),
    })
    .await;
    (swift(&url), copied)
}

#[tokio::test]
async fn segments_that_are_too_many_or_too_short_for_a_manifest_are_joined_when_they_are_copied() {
    for info in [
        r#"{"slo": {"max_manifest_segments": 2}}"#,
        r#"{"slo": {"max_manifest_segments": 1000, "min_segment_size": 3}}"#,
    ] {
        let (swift, copied) = with_three_segments(info).await;
        swift.copy(&Path::from("d"), &Path::from("a")).await.unwrap();
        assert_eq!(copied.load(SeqCst), 0);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_a_pause_gets_it() {
    let asked = AtomicUsize::new(0);
    let url = authenticating(move |_, _| match asked.fetch_add(1, SeqCst) {
        0 => answer("503 Service Unavailable", "Retry-After: 1\r\n", ""),
        _ => answer("204 No Content", "", ""),
    })
    .await;
    let (client, began) = (Client::new(config(&url)).unwrap(), Instant::now());
    let response = client.send(Request::new(Method::HEAD, "c")).await.unwrap();
    assert_eq!(response.status, StatusCode::NO_CONTENT);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
}
