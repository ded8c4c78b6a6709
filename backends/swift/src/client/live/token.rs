//! Tokens that are cached, expire or are refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures::future::join_all;
use http::{Method, StatusCode};
use jiff::Timestamp;
use object_store::PutPayload;
use tempfile::TempDir;

use super::{PASSWORD, Settings, brief, client, config, get, head_account, put, relayed, settings};
use crate::{
    AuthError,
    auth::Session,
    client::{Client, Request},
    secret::Secret,
};

/// The file of the only cached token. What the cluster can do is in another file of the directory.
fn token_file(directory: &Path) -> PathBuf {
    let mut files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let is_token = |file: &PathBuf| !file.file_name().unwrap().to_str().unwrap().starts_with("dialect-");
    files.find(is_token).unwrap()
}

/// A client whose cache contains a token that seems valid but that Swift refuses.
async fn with_refused_token(settings: &Settings) -> (Client, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let client = || Client::new(config(settings).with_token_cache(&tokens)).unwrap();
    let session = client().session().await.unwrap();
    let file = token_file(&tokens);
    let text = fs::read_to_string(&file).unwrap().replace(session.token.expose(), "expired");
    fs::write(&file, text).unwrap();
    (client(), directory)
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_refused_token_is_renewed_once_for_all_who_have_it() {
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    let (client, directory) = with_refused_token(&settings).await;
    let before = keystone.requests();
    for answer in join_all((0..20).map(|_| head_account(&client))).await {
        answer.unwrap();
    }
    assert_eq!(keystone.requests() - before, 1);

    let next = Client::new(config(&settings).with_token_cache(directory.path().join("tokens"))).unwrap();
    head_account(&next).await.unwrap();
    assert_eq!(keystone.requests() - before, 1, "the renewed token is in the cache");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn of_many_who_need_a_token_one_asks_and_all_share_the_refusal() {
    let (mut settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    settings.insert("OS_PASSWORD".to_owned(), "wrong".to_owned());
    let client = client(&settings);
    for answer in join_all((0..20).map(|_| head_account(&client))).await {
        assert!(answer.is_err());
    }
    assert_eq!(keystone.requests(), 1);
}

/// A session with a valid token that is due for renewal.
async fn session(settings: &Settings, change: impl FnOnce(&mut Session)) -> Session {
    let mut session = Session::clone(&*client(settings).session().await.unwrap());
    session.renew_at = Timestamp::UNIX_EPOCH;
    change(&mut session);
    session
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_that_lives_is_used_on_while_the_identity_service_is_down() {
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    let client = client(&settings);
    client.resume(session(&settings, |_| {}).await).await;
    let before = keystone.requests();
    keystone.cut(usize::MAX, 0);
    for answer in join_all((0..20).map(|_| head_account(&client))).await {
        answer.unwrap();
    }
    head_account(&client).await.unwrap();
    assert_eq!(keystone.requests() - before, 1, "one asks once for all");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_in_the_cache_that_lives_is_used_on_while_the_identity_service_is_down() {
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens");
    let process = || Client::new(config(&settings).with_token_cache(&tokens)).unwrap();
    head_account(&process()).await.unwrap();
    let file = token_file(&tokens);
    let mut session: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    session["renew_at"] = "2000-01-01T00:00:00Z".into();
    fs::write(&file, session.to_string()).unwrap();
    keystone.close();
    head_account(&process()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_that_lives_is_renewed_when_the_identity_service_is_there() {
    let settings = settings(PASSWORD);
    let client = client(&settings);
    client.resume(session(&settings, |session| session.token = Secret::new("old")).await).await;
    assert_ne!(client.session().await.unwrap().token.expose(), "old");
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_that_has_ended_is_not_used_while_the_identity_service_is_down() {
    let (settings, keystone) = relayed(&settings(PASSWORD), "OS_AUTH_URL").await;
    let client = brief(&settings);
    let ended = session(&settings, |session| session.ends_at = Timestamp::UNIX_EPOCH).await;
    client.resume(ended).await;
    keystone.close();
    assert!(matches!(*client.session().await.unwrap_err(), AuthError::Unreachable { .. }));
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_token_that_lives_is_not_used_on_by_whom_the_identity_service_refuses() {
    let mut settings = settings(PASSWORD);
    let living = session(&settings, |_| {}).await;
    settings.insert("OS_PASSWORD".to_owned(), "wrong".to_owned());
    let client = client(&settings);
    client.resume(living).await;
    assert!(client.session().await.unwrap_err().is_refusal());
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_large_upload_whose_token_is_refused_is_sent_again() {
    let settings = settings(PASSWORD);
    let (refused, _directory) = with_refused_token(&settings).await;
    let container = "live-token-upload";
    let body = put(&client(&settings), container, 1).await.unwrap();
    assert_eq!(get(&refused, container).await.unwrap(), body);

    let (refused, _directory) = with_refused_token(&settings).await;
    let large = PutPayload::from(vec![7; 48 << 20]);
    let stored = refused.send(Request::object(Method::PUT, container, "object").body(large)).await.unwrap();
    assert_eq!(stored.status, StatusCode::CREATED);
    assert_eq!(get(&refused, container).await.unwrap().len(), 48 << 20);
}

#[tokio::test]
#[ignore = "needs Swift: run by cargo xtask test"]
async fn a_given_token_that_is_refused_is_an_error_at_once() {
    let session = client(&settings(PASSWORD)).session().await.unwrap();
    let token = ("OS_TOKEN".to_owned(), "expired".to_owned());
    let url = ("OS_STORAGE_URL".to_owned(), session.storage_url.to_string());
    let error = head_account(&client(&[token, url].into())).await.err().unwrap();
    assert_eq!((error.status(), error.tries()), (Some(StatusCode::UNAUTHORIZED), 1));
    assert!(error.trans_id().is_some());
}
