//! Faults between the client and Swift.

use http::Method;

use super::{
    BRIEF, PASSWORD, PATIENCE, before_swift, brief, client, config, get, head_account, put, relayed, settings,
};
use crate::{
    Kind, Timeouts,
    client::{Client, Request},
};

const BYTES: usize = 8 << 20;

/// A position in the middle of the object, in either direction.
const MIDDLE: i64 = 3 << 20;

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_upload_that_is_cut_is_sent_again_whole() {
    let (settings, swift) = before_swift().await;
    put(&client(&settings), "live-cut-upload", 1).await.unwrap();
    swift.cut(2, MIDDLE);
    let client = client(&settings);
    let body = put(&client, "live-cut-upload", BYTES).await.unwrap();
    assert_eq!(swift.cuts_left(), 0);
    assert_eq!(get(&client, "live-cut-upload").await.unwrap(), body);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_upload_that_stalls_is_sent_again_whole() {
    let (settings, swift) = before_swift().await;
    swift.stall(1, MIDDLE);
    let timeouts = Timeouts { silence: BRIEF.silence, ..PATIENCE };
    let client = Client::new(config(&settings).with_timeouts(timeouts)).unwrap();
    let body = put(&client, "live-stalled-upload", BYTES).await.unwrap();
    assert_eq!(get(&client, "live-stalled-upload").await.unwrap(), body);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_download_that_is_cut_is_an_error_with_its_transaction() {
    let (settings, swift) = before_swift().await;
    put(&client(&settings), "live-cut-download", BYTES).await.unwrap();
    swift.cut(1, MIDDLE);
    let error = get(&client(&settings), "live-cut-download").await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Connection(_)), "{error:?}");
    assert_eq!(error.target(), "live-cut-download/object");
    assert!(error.trans_id().is_some());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_download_that_stalls_is_an_error() {
    let (settings, swift) = before_swift().await;
    put(&client(&settings), "live-stalled-download", BYTES).await.unwrap();
    swift.stall(1, MIDDLE);
    let brief = brief(&settings);
    let error = get(&brief, "live-stalled-download").await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Stalled(silence) if *silence == BRIEF.silence), "{error:?}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn connections_that_are_closed_at_once_are_tried_until_one_holds() {
    let (settings, swift) = before_swift().await;
    swift.cut(3, 0);
    head_account(&client(&settings)).await.unwrap();
    assert_eq!(swift.cuts_left(), 0);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_swift_that_stays_away_is_an_error_that_tells_how_often_it_was_tried() {
    let (settings, swift) = before_swift().await;
    swift.close();
    let brief = brief(&settings);
    let error = brief.send(Request::object(Method::GET, "container", "name")).await.err().unwrap();
    assert!(error.tries() > 2);
    let text = error.to_string();
    assert!(text.contains("GET container/name") && text.contains("times"), "{text}");
    let server = config(&settings).endpoint.storage_url.unwrap().origin().ascii_serialization();
    assert!(matches!(error.kind(), Kind::Unreachable { server: named, .. } if *named == server), "{text}");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_identity_service_that_cuts_is_asked_again() {
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    keystone.cut(2, 0);
    head_account(&client(&settings)).await.unwrap();
    assert_eq!(keystone.cuts_left(), 0);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn an_identity_service_that_stays_away_is_no_refusal() {
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    keystone.close();
    let brief = brief(&settings);
    let error = head_account(&brief).await.err().unwrap();
    assert!(matches!(error.kind(), Kind::Auth(error) if !error.is_refusal()), "{error:?}");
}
