//! `/info` that isn't answered, and limits that are found out before anything is stored.

use super::*;
use crate::dialect::server::RADOSGW;

fn in_a_second(url: &str) -> Swift {
    let timeouts = Timeouts { retry: Duration::from_secs(1), ..Timeouts::default() };
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
            answer("201 Created", "", "")
        }
        _ => answer("404 Not Found", "", ""),
    })
    .await;
    (url, stored)
}

#[tokio::test]
async fn limits_that_a_balancer_does_not_forward_are_assumed_and_an_upload_completes() {
    let (url, stored) = storing(|| answer("502 Bad Gateway", "", "")).await;
    let mut upload = in_a_second(&url).put_multipart(&Path::from("a")).await.unwrap();
    for part in ["abcd", "efgh"] {
        upload.put_part(part.into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    assert_eq!(stored.load(SeqCst), 2);
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
async fn a_server_that_asks_for_a_longer_pause_than_there_is_time_is_asked_once_more() {
    let asked = AtomicUsize::new(0);
    let url = authenticating(move |_, _| match asked.fetch_add(1, SeqCst) {
        0 => answer("503 Service Unavailable", "Retry-After: 3600\r\n", ""),
        _ => answer("204 No Content", "", ""),
    })
    .await;
    let timeouts = Timeouts { retry: Duration::from_secs(2), ..Timeouts::default() };
    let client = Client::new(config(&url).with_timeouts(timeouts)).unwrap();
    let response = client.send(Request::new(Method::HEAD, "c")).await.unwrap();
    assert_eq!(response.status, StatusCode::NO_CONTENT);
}
