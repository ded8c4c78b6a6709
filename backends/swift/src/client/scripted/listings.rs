//! Listings in pages that are shorter than requested although more follows.

use futures::TryStreamExt;
use tokio::sync::Semaphore;

use super::*;
use crate::dialect::server::{RADOSGW, SWIFT};

/// A server of 50 objects whose pages have 22 names, and the number of its answers.
async fn short_pages(trans_id: Option<&str>) -> (String, Arc<AtomicUsize>) {
    let answers = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answers);
    let id = trans_id.map(|id| format!("X-Trans-Id: {id}\r\n")).unwrap_or_default();
    let url = authenticating(move |_, head| {
        count.fetch_add(1, SeqCst);
        let marker = head.split_once("marker=").map_or("", |(_, rest)| &rest[..3]);
        let names = (0..50).map(|number| format!("n{number:02}")).filter(|name| name.as_str() > marker);
        let row = |name| {
            format!(r#"{{"name":"{name}","hash":"aa","bytes":1,"last_modified":"2026-11-29T07:03:01.624Z"}}"#)
        };
        let page = names.take(22).map(row).collect::<Vec<_>>().join(",");
        answer("200 OK", &id, &format!("[{page}]"))
    })
    .await;
    (url, answers)
}

async fn listed(url: &str) -> usize {
    let metas: Vec<_> = swift(url).list(None).try_collect().await.unwrap();
    metas.len()
}

#[tokio::test]
async fn a_short_page_hides_nothing_unless_the_server_is_known_to_fill_its_pages() {
    for trans_id in [None, Some(RADOSGW)] {
        let (url, answers) = short_pages(trans_id).await;
        assert_eq!(listed(&url).await, 50);
        assert_eq!(answers.load(SeqCst), 4, "three pages and an empty one");
    }
}

#[tokio::test]
async fn the_page_after_a_short_one_is_requested_while_the_caller_works() {
    let answered = Arc::new(Semaphore::new(0));
    let answers = Arc::clone(&answered);
    let url = authenticating(move |_, head| {
        answers.add_permits(1);
        let row = r#"[{"name":"a","hash":"aa","bytes":1,"last_modified":"2026-11-29T07:03:01.624Z"}]"#;
        answer("200 OK", "", if head.contains("marker=") { "[]" } else { row })
    })
    .await;
    let mut listing = swift(&url).list(None);
    assert_eq!(listing.try_next().await.unwrap().unwrap().location, Path::from("a"));
    let both = timeout(SOON, answered.acquire_many(2)).await;
    assert!(both.is_ok(), "nothing reads the listing meanwhile");
    assert!(listing.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn of_swift_a_short_page_is_the_last() {
    let (url, answers) = short_pages(Some(SWIFT)).await;
    assert_eq!(listed(&url).await, 22);
    assert_eq!(answers.load(SeqCst), 1);
}

#[tokio::test]
async fn a_listing_that_does_not_advance_ends() {
    let row = |name| {
        format!(r#"{{"name":"{name}","hash":"aa","bytes":1,"last_modified":"2026-11-29T07:03:01.624Z"}}"#)
    };
    let (both, last) = (format!("[{},{}]", row("a"), row("b")), format!("[{}]", row("b")));
    // A server for which the marker is the first name of the page, and one that ignores it.
    let inclusive = [both.clone(), last];
    let ignorant = [both.clone(), both];
    let listing = async |[first, later]: [String; 2]| {
        let url = authenticating(move |_, head| {
            answer("200 OK", "", if head.contains("marker=b") { &later } else { &first })
        })
        .await;
        swift(&url).list(None).map_ok(|meta| meta.location.to_string()).try_collect::<Vec<_>>().await
    };
    let ends = async |pages| timeout(SOON, listing(pages)).await.expect("it ends");
    assert_eq!(ends(inclusive).await.unwrap(), ["a", "b"]);
    let error = ends(ignorant).await.unwrap_err().to_string();
    assert!(error.contains("the page after 'b' begins before it"), "{error}");
}
